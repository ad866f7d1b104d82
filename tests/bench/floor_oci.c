// The floor of `runc run`: the calls a container with limits is made of where control groups are v1, and nothing else.
//
//   floor_oci ROOT GROUP COMMAND [ARGUMENT...]        as root
//
// Makes what floor.c makes, and besides a group called GROUP in each v1 hierarchy that holds a controller, a memory and
// a pids limit and the usual rules about devices in them, and shows all of them in the container; and takes them away.
// Like floor.c it parses, writes down, checks and undoes nothing, and does not protect its own binary.
//
// Build: cc -Os -static -o floor_oci floor_oci.c (or musl-gcc: it starts faster).

#define main floor_main
#include "floor.c"
#undef main

static const char *const hierarchies[] = {"cpu",     "cpuacct", "cpuset", "memory",
                                          "devices", "freezer", "blkio",  "pids"};
enum { HIERARCHIES = sizeof hierarchies / sizeof *hierarchies };
static char group[HIERARCHIES][256]; // The directory of the group; empty where there is no such hierarchy.

// Writes values to one file of a group, each in a write(2) of its own.
static void set(const char *hierarchy, const char *name, const char *const *values) {
    char path[2304];
    for (size_t i = 0; i < HIERARCHIES; i++) {
        if (strcmp(hierarchies[i], hierarchy) != 0 || !*group[i]) continue;
        snprintf(path, sizeof path, "%s/%s", group[i], name);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        NEED(fd);
        for (; *values; values++)
            NEED(write(fd, *values, strlen(*values)));
        NEED(close(fd));
    }
}

#define SET(hierarchy, name, ...) set(hierarchy, name, (const char *const[]){__VA_ARGS__, NULL})

static void make_groups(const char *name) {
    char text[64];
    for (size_t i = 0; i < HIERARCHIES; i++) {
        snprintf(group[i], sizeof group[i], "/sys/fs/cgroup/%s/%s", hierarchies[i], name);
        if (mkdir(group[i], 0755) == 0 || errno == EEXIST) continue;
        if (errno != ENOENT) need(-1, group[i]);
        *group[i] = 0;
    }
    // A new cpuset lets nobody in before it has what the one above it has.
    static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
    for (size_t i = 0; i < 2; i++) {
        char path[64];
        snprintf(path, sizeof path, "/sys/fs/cgroup/cpuset/%s", files[i]);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) continue;
        ssize_t length = read(fd, text, sizeof text - 1);
        NEED(length);
        text[length] = 0;
        NEED(close(fd));
        SET("cpuset", files[i], text);
    }
    SET("devices", "devices.deny", "a *:* rwm");
    SET("devices", "devices.allow", "c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm",
        "c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm");
    SET("memory", "memory.limit_in_bytes", "67108864");
    SET("pids", "pids.max", "64");
}

static void remove_groups(void) {
    for (size_t i = 0; i < HIERARCHIES; i++)
        if (*group[i]) NEED(rmdir(group[i]));
}

static void mount_groups(void) {
    char path[64];
    NEED(umount2("sys/fs/cgroup", MNT_DETACH));
    NEED(mount("tmpfs", "sys/fs/cgroup", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=64k"));
    for (size_t i = 0; i < HIERARCHIES; i++) {
        if (!*group[i]) continue;
        snprintf(path, sizeof path, "sys/fs/cgroup/%s", hierarchies[i]);
        NEED(mkdir(path, 0755));
        NEED(mount("cgroup", path, "cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, hierarchies[i]));
    }
}

static int member(void *argument) {
    char **argv = argument;
    NEED(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
    for (size_t i = 0; i < HIERARCHIES; i++)
        SET(hierarchies[i], "tasks", "0"); // Not cgroup.procs, which waits for a grace period.
    NEED(unshare(CLONE_NEWCGROUP));
    NEED(setsid());
    mount_all(argv[1]);
    mount_groups();
    make_devices();
    pivot();
    mask_paths();
    name_and_loopback();
    drop_privileges();
    execv(argv[3], argv + 3);
    need(-1, argv[3]);
    return 127;
}

int main(int argc, char **argv) {
    static char stack[64 * 1024] __attribute__((aligned(16)));
    int status;
    if (argc < 4) {
        fputs("usage: floor_oci ROOT GROUP COMMAND [ARGUMENT...]\n", stderr);
        return 125;
    }
    make_groups(argv[2]);
    pid_t pid = clone(member, stack + sizeof stack,
                      CLONE_VM | CLONE_VFORK | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC |
                          SIGCHLD,
                      argv);
    NEED(pid);
    NEED(waitpid(pid, &status, 0));
    remove_groups();
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
