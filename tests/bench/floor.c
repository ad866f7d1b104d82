// The floor of `container run --rootfs DIR CMD`: the calls a container is made of, and nothing else.
//
//   floor ROOT COMMAND [ARGUMENT...]        as root
//
// Makes the same namespaces, mounts, masks, devices, limits (that of processes too) and credentials as isobox does with its defaults, in the
// cheapest way known (the child shares the parent's memory until it executes, so no page table is copied; nothing is
// parsed, checked for races, explained or undone). What a runtime costs above this is its own doing.
//
// Build: cc -Os -static -o floor floor.c (or musl-gcc: it starts faster).

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static void need(int result, const char *doing) {
    if (result < 0) {
        fprintf(stderr, "floor: %s: %s\n", doing, strerror(errno));
        _exit(125);
    }
}

#define NEED(call) need((int)(call), #call)

static char pids_group[64]; // What limits the number of processes, where v1 has the controller.

static void set_in_pids(const char *name, const char *value) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", pids_group, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    NEED(fd);
    NEED(write(fd, value, strlen(value)));
    NEED(close(fd));
}

static void limit_processes(void) {
    snprintf(pids_group, sizeof pids_group, "/sys/fs/cgroup/pids/floor-%d", (int)getpid());
    if (mkdir(pids_group, 0755) < 0 && errno == ENOENT) {
        *pids_group = 0;
        return;
    }
    set_in_pids("pids.max", "1024");
}

static void mount_all(const char *root) {
    const unsigned long nosuid_noexec = MS_NOSUID | MS_NOEXEC;
    NEED(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
    NEED(mount(root, root, NULL, MS_BIND | MS_REC, NULL));
    NEED(chdir(root));
    NEED(mount("proc", "proc", "proc", nosuid_noexec | MS_NODEV, NULL));
    NEED(mount(NULL, ".", NULL, MS_BIND | MS_REMOUNT | MS_NODEV, NULL));
    NEED(mount("tmpfs", "dev", "tmpfs", nosuid_noexec, "mode=755,size=1m,nr_inodes=512"));
    NEED(mkdir("dev/pts", 0755));
    NEED(mount("devpts", "dev/pts", "devpts", nosuid_noexec, "newinstance,ptmxmode=0666,mode=0620,gid=5"));
    NEED(mkdir("dev/shm", 01777));
    NEED(mount("shm", "dev/shm", "tmpfs", nosuid_noexec | MS_NODEV, "mode=1777,size=65536k"));
    NEED(mkdir("dev/mqueue", 0755));
    NEED(mount("mqueue", "dev/mqueue", "mqueue", nosuid_noexec | MS_NODEV, NULL));
    NEED(mount("sysfs", "sys", "sysfs", nosuid_noexec | MS_NODEV | MS_RDONLY, NULL));
    NEED(mount("cgroup2", "sys/fs/cgroup", "cgroup2", nosuid_noexec | MS_NODEV | MS_RDONLY, NULL));
}

static void make_devices(void) {
    static const struct { const char *path; unsigned char major, minor; } nodes[] = {
        {"dev/null", 1, 3}, {"dev/zero", 1, 5},    {"dev/full", 1, 7},
        {"dev/tty", 5, 0},  {"dev/random", 1, 8},  {"dev/urandom", 1, 9},
    };
    static const char *const links[][2] = {
        {"/proc/self/fd", "dev/fd"},       {"/proc/self/fd/0", "dev/stdin"}, {"/proc/self/fd/1", "dev/stdout"},
        {"/proc/self/fd/2", "dev/stderr"}, {"pts/ptmx", "dev/ptmx"},
    };
    umask(0);
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
        NEED(mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)));
    umask(022);
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        NEED(symlink(links[i][0], links[i][1]));
}

static void pivot(void) {
    NEED(syscall(SYS_pivot_root, ".", "."));
    NEED(umount2(".", MNT_DETACH));
    NEED(chdir("/"));
}

static void mask_paths(void) {
    static const char *const masked[] = {
        "/proc/acpi",          "/proc/asound",     "/proc/config.gz",  "/proc/interrupts",
        "/proc/kallsyms",      "/proc/kcore",      "/proc/keys",       "/proc/kmsg",
        "/proc/kpagecgroup",   "/proc/kpagecount", "/proc/kpageflags", "/proc/latency_stats",
        "/proc/modules",       "/proc/mtrr",       "/proc/sched_debug", "/proc/scsi",
        "/proc/slabinfo",      "/proc/timer_list", "/proc/timer_stats", "/proc/vmallocinfo",
        "/sys/devices/virtual/powercap", "/sys/firmware", "/sys/module",
    };
    static const char *const read_only[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
    const char *empty = NULL, *null = NULL; // The first of each kind is shared by the others.
    struct stat at;
    for (size_t i = 0; i < sizeof masked / sizeof *masked; i++) {
        if (stat(masked[i], &at) < 0) continue;
        const char **first = S_ISDIR(at.st_mode) ? &empty : &null;
        if (*first) {
            NEED(mount(*first, masked[i], NULL, MS_BIND, NULL));
            continue;
        }
        *first = masked[i];
        if (S_ISDIR(at.st_mode)) {
            NEED(mount("none", masked[i], "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "nr_inodes=1,mode=555"));
        } else {
            NEED(mount("/dev/null", masked[i], NULL, MS_BIND, NULL));
            NEED(mount(NULL, masked[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NOEXEC, NULL));
        }
    }
    for (size_t i = 0; i < sizeof read_only / sizeof *read_only; i++) {
        if (mount(read_only[i], read_only[i], NULL, MS_BIND, NULL) < 0 && errno == ENOENT) continue;
        NEED(mount(NULL, read_only[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
    }
}

static void name_and_loopback(void) {
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int socket_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    NEED(socket_fd);
    NEED(ioctl(socket_fd, SIOCSIFFLAGS, &lo));
    NEED(close(socket_fd));
    NEED(sethostname("floor", 5));
}

static void drop_privileges(void) {
    // chown dac_override fowner fsetid kill setgid setuid net_bind_service sys_chroot
    const uint64_t kept = 0x404fb;
    const struct rlimit files = {1024, 20000}, core = {0, 0}, memlock = {8 << 20, 8 << 20};
    const gid_t root_group = 0;
    // capset(2), version 3; musl's headers do not have the kernel's.
    struct { uint32_t version; int pid; } header = {0x20080522, 0};
    struct { uint32_t effective, permitted, inheritable; } sets[2];
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    NEED(fd);
    NEED(write(fd, "100", 3));
    NEED(close(fd));
    NEED(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
    NEED(setrlimit(RLIMIT_CORE, &core));
    NEED(setrlimit(RLIMIT_MEMLOCK, &memlock));
    setrlimit(RLIMIT_NOFILE, &files);
    NEED(syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL));
    NEED(syscall(SYS_setgroups, 1, &root_group));
    NEED(syscall(SYS_setresgid, 0, 0, 0));
    NEED(syscall(SYS_setresuid, 0, 0, 0));
    for (int cap = 0; cap < 64; cap++)
        if (!(kept >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) break; // Past the last one.
    for (int half = 0; half < 2; half++) {
        sets[half].effective = sets[half].permitted = (uint32_t)(kept >> (32 * half));
        sets[half].inheritable = 0;
    }
    NEED(syscall(SYS_capset, &header, sets));
    NEED(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
    NEED(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    NEED(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
    for (int number = 1; number <= 64; number++) {
        // The kernel's own structure: handler, flags, restorer, mask.
        const uint64_t by_default[4] = {0};
        syscall(SYS_rt_sigaction, number, by_default, NULL, 8); // KILL and STOP refuse.
    }
    NEED(syscall(SYS_close_range, 3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */));
}

// An instruction of a filter (bpf(2), seccomp(2)); musl's headers do not have the kernel's.
struct instruction {
    uint16_t code;
    uint8_t if_true, if_false;
    uint32_t operand;
};

enum { LOAD = 0x20, JUMP_IF_EQUAL = 0x15, JUMP_IF_AT_LEAST = 0x35, RETURN = 0x06 };
static const uint32_t allow = 0x7fff0000;

// Appends a search for the call's number between `low` and `high`: every jump has one answer on each side.
static size_t search(struct instruction *filter, size_t at, unsigned low, unsigned high) {
    const unsigned middle = (low + high) / 2;
    if (low == high) {
        filter[at] = (struct instruction){RETURN, 0, 0, allow};
        return at + 1;
    }
    const size_t right = search(filter, at + 1, low, middle);
    filter[at] = (struct instruction){JUMP_IF_AT_LEAST, (uint8_t)(right - at - 1), 0, 4 * (middle + 1)};
    return search(filter, right, middle + 1, high);
}

// A filter of the default profile's length and depth (194 instructions, a search by number); this one allows all.
static void load_filter(void) {
    struct instruction filter[194] = {
        {LOAD, 0, 0, 4}, // The architecture.
        {JUMP_IF_EQUAL, 0, 0, 0},
        {LOAD, 0, 0, 0}, // The call's number.
    };
    const struct {
        unsigned short count;
        struct instruction *filter;
    } program = {(unsigned short)search(filter, 3, 0, 95), filter};
    NEED(syscall(SYS_seccomp, 1 /* SET_MODE_FILTER */, 1UL << 2 /* SPEC_ALLOW */, &program));
}

static int child(void *argument) {
    char **argv = argument;
    NEED(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
    if (*pids_group) set_in_pids("tasks", "0");
    NEED(unshare(CLONE_NEWCGROUP));
    NEED(setsid());
    NEED(close(0));
    NEED(open("/dev/null", O_RDONLY));
    mount_all(argv[1]);
    make_devices();
    pivot();
    mask_paths();
    name_and_loopback();
    drop_privileges();
    load_filter();
    execv(argv[2], argv + 2);
    need(-1, argv[2]);
    return 127;
}

int main(int argc, char **argv) {
    static char stack[64 * 1024] __attribute__((aligned(16)));
    int status;
    if (argc < 3) {
        fputs("usage: floor ROOT COMMAND [ARGUMENT...]\n", stderr);
        return 125;
    }
    limit_processes();
    pid_t pid = clone(child, stack + sizeof stack,
                      CLONE_VM | CLONE_VFORK | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC |
                          SIGCHLD,
                      argv);
    NEED(pid);
    NEED(waitpid(pid, &status, 0));
    if (*pids_group) NEED(rmdir(pids_group));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
