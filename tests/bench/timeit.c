// Times short commands against each other.
//
//   timeit ROUNDS PAUSE-MICROSECONDS < COMMANDS
//
// Each line of COMMANDS is `NAME<TAB>SCHED<TAB>WORD WORD...`: SCHED is `fifo` for a real-time priority (which steadies
// the figures; never for a Go program, whose threads spin and lock the machine) or `other`; `%n` within a word becomes
// a number of its own for each run; words are separated by blanks and nothing is quoted. Every round runs each command
// once, in an order drawn anew, so that drift and neighbours strike all alike; the first tenth of the rounds only warms up.
//
// For each command prints `NAME<TAB>MEDIAN<TAB>MIN<TAB>KIBIBYTES<TAB>FAILURES`: microseconds from before the fork to
// after the wait, and the largest resident set of a process of the command. A resident set is inherited over exec, so
// this program is kept small, and the figure has a floor, which is that of a program that does nothing.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_COMMANDS = 32, MAX_WORDS = 64, MAX_LINE = 4096 };

struct command {
    char line[MAX_LINE];
    char *name;
    char *words[MAX_WORDS + 1];
    int fifo;
    long kibibytes;
    unsigned failures;
    uint32_t *nanoseconds; // One for each measured round.
};

static struct command commands[MAX_COMMANDS];
static size_t command_count;

static void die(const char *why) {
    fprintf(stderr, "timeit: %s\n", why);
    exit(1);
}

static void read_commands(void) {
    struct command *it = commands;
    while (command_count < MAX_COMMANDS && fgets(it->line, sizeof it->line, stdin)) {
        size_t words = 0;
        char *rest = it->line;
        rest[strcspn(rest, "\n")] = 0;
        it->name = strsep(&rest, "\t");
        char *sched = strsep(&rest, "\t");
        if (!rest) die("a line is not NAME<TAB>SCHED<TAB>COMMAND");
        it->fifo = strcmp(sched, "fifo") == 0;
        for (char *word; words < MAX_WORDS && (word = strsep(&rest, " "));)
            if (*word) it->words[words++] = word;
        if (!words) die("a line has no command");
        command_count++;
        it++;
    }
}

// The words with %n filled in; valid until the next call.
static char **filled(struct command *command, unsigned serial) {
    static char text[MAX_LINE * 2];
    static char *words[MAX_WORDS + 1];
    size_t used = 0, i;
    for (i = 0; command->words[i]; i++) {
        char *mark = strstr(command->words[i], "%n");
        words[i] = command->words[i];
        if (!mark) continue;
        words[i] = text + used;
        used += (size_t)snprintf(text + used, sizeof text - used, "%.*s%u%s", (int)(mark - command->words[i]),
                                 command->words[i], serial, mark + 2) + 1;
        if (used >= sizeof text) die("a command is too long");
    }
    words[i] = NULL;
    return words;
}

// By the kernel's own call: musl's sched_setscheduler always fails.
static long real_time(int flags, int priority) {
    const struct sched_param param = {.sched_priority = priority};
    return syscall(SYS_sched_setscheduler, 0, SCHED_FIFO | flags, &param);
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

// Runs a command once. vfork, because the fork of a copy would be measured too; what the child does before its exec
// touches nothing of ours.
static int64_t run(struct command *command, unsigned serial, int null) {
    char **words = filled(command, serial);
    struct rusage usage;
    int status;
    int64_t start = now();
    pid_t pid = vfork();
    if (pid == 0) {
        dup2(null, 0);
        dup2(null, 1);
        if (command->fifo) real_time(0, 1);
        execvp(words[0], words);
        _exit(127);
    }
    if (pid < 0) die(strerror(errno));
    while (wait4(pid, &status, 0, &usage) < 0)
        if (errno != EINTR) die(strerror(errno));
    int64_t took = now() - start;
    if (status) command->failures++;
    if (usage.ru_maxrss > command->kibibytes) command->kibibytes = usage.ru_maxrss;
    return took;
}

static int by_size(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

int main(int argc, char **argv) {
    if (argc != 3) die("usage: timeit ROUNDS PAUSE-MICROSECONDS < COMMANDS");
    const long rounds = atol(argv[1]), warm_up = rounds / 10 + 1;
    const useconds_t pause = (useconds_t)atol(argv[2]);
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    unsigned serial = 0;
    size_t order[MAX_COMMANDS];
    if (rounds < 1 || null < 0) die("cannot start");

    read_commands();
    for (size_t i = 0; i < command_count; i++) {
        order[i] = i;
        commands[i].nanoseconds = malloc((size_t)rounds * sizeof *commands[i].nanoseconds);
        if (!commands[i].nanoseconds) die("no memory");
    }
    // Above the commands: whoever measures must not wait for the measured. Children get their own back.
    if (real_time(SCHED_RESET_ON_FORK, 2) < 0)
        fputs("timeit: no real-time priority: figures will be less steady\n", stderr);
    srandom((unsigned)now());

    for (long round = -warm_up; round < rounds; round++) {
        for (size_t i = command_count; i-- > 1;) {
            size_t other = (size_t)random() % (i + 1), held = order[i];
            order[i] = order[other];
            order[other] = held;
        }
        for (size_t i = 0; i < command_count; i++) {
            struct command *command = &commands[order[i]];
            // The kernel takes namespaces apart behind our back; the next command should not pay for it.
            usleep(pause);
            int64_t took = run(command, serial++, null);
            if (round >= 0) command->nanoseconds[round] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
        }
    }
    for (size_t i = 0; i < command_count; i++) {
        struct command *it = &commands[i];
        qsort(it->nanoseconds, (size_t)rounds, sizeof *it->nanoseconds, by_size);
        printf("%s\t%.0f\t%.0f\t%ld\t%u\n", it->name, it->nanoseconds[rounds / 2] / 1e3, it->nanoseconds[0] / 1e3,
               it->kibibytes, it->failures);
    }
    return 0;
}
