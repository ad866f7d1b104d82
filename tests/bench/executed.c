// Says which functions of a program a command executes, itself and in its children.
//
//   executed PROGRAM COMMAND [ARGUMENT...] < FUNCTIONS        as root; for x86_64
//
// FUNCTIONS are addresses as nm prints them (16 hexadecimal digits), in rising order, one a line; those that were
// executed are printed the same way. Each gets a breakpoint that is taken away when it is hit, so that a command runs
// nearly as fast as always. Other programs that the command executes run freely.
//
// Build: cc -O1 -o executed executed.c

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_PROCESSES = 256, MAX_FUNCTIONS = 1 << 16 };

struct function {
    uint64_t address; // Within the program.
    unsigned char byte; // Its first, where the breakpoint is.
    int hit;
};

// A traced process, and where it has the program; nowhere (0) while it runs another.
struct process {
    pid_t pid;
    uint64_t base;
};

static struct function functions[MAX_FUNCTIONS];
static size_t count;
static struct process processes[MAX_PROCESSES];
static struct stat program;

static void fail(const char *what) {
    fprintf(stderr, "executed: %s: %s\n", what, strerror(errno));
    exit(1);
}

// The record of a process; a new one where there is none. Pid 0 marks one that is free.
static struct process *record(pid_t pid) {
    struct process *vacant = NULL;
    for (size_t i = 0; i < MAX_PROCESSES; i++) {
        if (processes[i].pid == pid) return &processes[i];
        if (!processes[i].pid && !vacant) vacant = &processes[i];
    }
    if (!vacant) {
        errno = ENOSPC;
        fail("too many processes");
    }
    *vacant = (struct process){pid, 0};
    return vacant;
}

static int memory_of(pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", pid);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) fail(path);
    return fd;
}

// Where a process has just been given the program, if it was this one: its first mapping of the file.
static uint64_t base_of(pid_t pid) {
    char path[64], line[512];
    uint64_t base = 0, start;
    unsigned long inode;
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    FILE *maps = fopen(path, "r");
    while (maps && !base && fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-%*x %*s %*x %*x:%*x %lu", &start, &inode) == 2 && inode == program.st_ino) base = start;
    if (maps) fclose(maps);
    return base;
}

// Puts breakpoints into a process that has just been given the program.
static void set_breakpoints(struct process *process) {
    const unsigned char int3 = 0xcc;
    process->base = base_of(process->pid);
    if (!process->base) return;
    int memory = memory_of(process->pid);
    for (struct function *f = functions; f < functions + count; f++) {
        const off_t at = (off_t)(process->base + f->address);
        if (pread(memory, &f->byte, 1, at) != 1 || pwrite(memory, &int3, 1, at) != 1) fail("breakpoint");
    }
    close(memory);
}

static int by_address(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = ((const struct function *)b)->address;
    return (x > y) - (x < y);
}

// Lets a process that has met a breakpoint execute what was there; says whether it was one of ours.
static int pass_breakpoint(struct process *process) {
    struct user_regs_struct registers;
    if (!process->base || ptrace(PTRACE_GETREGS, process->pid, 0, &registers) < 0) return 0;
    const uint64_t at = registers.rip - 1 - process->base;
    struct function *found = bsearch(&at, functions, count, sizeof *functions, by_address);
    if (!found) return 0;
    found->hit = 1;
    int memory = memory_of(process->pid);
    if (pwrite(memory, &found->byte, 1, (off_t)(process->base + at)) != 1) fail("breakpoint");
    close(memory);
    registers.rip--;
    ptrace(PTRACE_SETREGS, process->pid, 0, &registers);
    return 1;
}

// Takes note of what a stop of a process says; gives the signal that the process is to see.
static int note(struct process *process, int status) {
    const int event = status >> 16, signal = WSTOPSIG(status);
    unsigned long child;
    if (event == PTRACE_EVENT_EXEC) {
        set_breakpoints(process);
    } else if (event) {
        if (ptrace(PTRACE_GETEVENTMSG, process->pid, 0, &child) == 0) record((pid_t)child)->base = process->base;
    } else if (signal != SIGSTOP && !(signal == SIGTRAP && pass_breakpoint(process))) {
        return signal;
    }
    return 0;
}

int main(int argc, char **argv) {
    const long options = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC;
    pid_t pid;
    int status;
    if (argc < 3) {
        fputs("usage: executed PROGRAM COMMAND [ARGUMENT...] < FUNCTIONS\n", stderr);
        return 2;
    }
    if (stat(argv[1], &program) < 0) fail(argv[1]);
    while (count < MAX_FUNCTIONS && scanf("%lx", &functions[count].address) == 1) count++;
    pid = fork();
    if (pid < 0) fail("fork");
    if (pid == 0) {
        dup2(STDERR_FILENO, STDOUT_FILENO); // The command's words are none of ours.
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        execv(argv[2], argv + 2);
        fail(argv[2]);
    }
    if (waitpid(pid, &status, 0) < 0 || ptrace(PTRACE_SETOPTIONS, pid, 0, options) < 0) fail("ptrace");
    record(pid);
    ptrace(PTRACE_CONT, pid, 0, 0);
    while ((pid = waitpid(-1, &status, __WALL)) > 0) {
        struct process *process = record(pid);
        if (WIFSTOPPED(status))
            ptrace(PTRACE_CONT, pid, 0, note(process, status));
        else
            process->pid = 0;
    }
    for (size_t i = 0; i < count; i++)
        if (functions[i].hit) printf("%016lx\n", functions[i].address);
    return 0;
}
