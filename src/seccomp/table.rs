//! The system calls of the machines that can run here, by name: their numbers, and which of their arguments the kernel
//! reads as 32 bits only.
//!
//! Numbers are those of the kernel's tables (arch/x86/entry/syscalls, scripts/syscall.tbl); the widths of arguments
//! are those of the kernel's own definitions (`SYSCALL_DEFINE`, as tracefs shows them below events/syscalls).

use super::Arch;
use crate::capability::Set;

/// Stands for a number that there is not.
const NONE: u16 = u16::MAX;

macro_rules! number {
    (-) => {
        NONE
    };
    ($number:literal) => {
        $number
    };
}

macro_rules! calls {
    ($($name:ident $x86_64:tt $aarch64:tt $x86:tt $narrow:literal $leave:tt;)*) => {
        /// All names, in ascending order, each followed by a blank: one text needs no relocation at start-up.
        const NAMES: &str = concat!($(stringify!($name), " "),*);
        static X86_64: [u16; COUNT] = [$(number!($x86_64)),*];
        static AARCH64: [u16; COUNT] = [$(number!($aarch64)),*];
        static X86: [u16; COUNT] = [$(number!($x86)),*];
        /// A bit for each argument that is no longer than 32 bits.
        static NARROW: [u8; COUNT] = [$($narrow),*];
        /// What the default profile thinks of it.
        static LEAVE: [u8; COUNT] = [$(leave!($leave)),*];
        const COUNT: usize = 0 $(+ { let _ = stringify!($name); 1 })*;
    };
}

/// Allowed to all; to nobody; to whoever has the capability of this number.
const ALL: u8 = u8::MAX;
const NOBODY: u8 = u8::MAX - 1;

macro_rules! leave {
    (y) => {
        ALL
    };
    (n) => {
        NOBODY
    };
    (dac_read_search) => {
        2
    };
    (sys_module) => {
        16
    };
    (sys_rawio) => {
        17
    };
    (sys_ptrace) => {
        19
    };
    (sys_pacct) => {
        20
    };
    (sys_admin) => {
        21
    };
    (sys_boot) => {
        22
    };
    (sys_nice) => {
        23
    };
    (sys_time) => {
        25
    };
    (sys_tty_config) => {
        26
    };
    (syslog) => {
        34
    };
    (perfmon) => {
        38
    };
    (bpf) => {
        39
    };
}

// Name, number on x86_64, on aarch64 and on x86, the arguments of 32 bits, whom the default profile allows it.
#[rustfmt::skip]
calls! {
    _llseek - - 140 0 y;
    _newselect - - 142 0 y;
    _sysctl 156 - 149 0 n;
    accept 43 202 - 1 y;
    accept4 288 242 364 9 y;
    access 21 - 33 2 y;
    acct 163 89 51 0 sys_pacct;
    add_key 248 217 286 16 n;
    adjtimex 159 171 124 0 y;
    afs_syscall 183 - 137 0 n;
    alarm 37 - 27 1 y;
    arch_prctl 158 - 384 1 y;
    bdflush - - 134 0 n;
    bind 49 200 361 5 y;
    bpf 321 280 357 5 bpf;
    break - - 17 0 n;
    brk 12 214 45 0 y;
    cachestat 451 451 451 9 y;
    capget 125 90 184 0 y;
    capset 126 91 185 0 y;
    chdir 80 49 12 0 y;
    chmod 90 - 15 2 y;
    chown 92 - 182 6 y;
    chown32 - - 212 0 y;
    chroot 161 51 61 0 y;
    clock_adjtime 305 266 343 1 y;
    clock_adjtime64 - - 405 0 y;
    clock_getres 229 114 266 1 y;
    clock_getres_time64 - - 406 0 y;
    clock_gettime 228 113 265 1 y;
    clock_gettime64 - - 403 0 y;
    clock_nanosleep 230 115 267 3 y;
    clock_nanosleep_time64 - - 407 0 y;
    clock_settime 227 112 264 1 sys_time;
    clock_settime64 - - 404 0 sys_time;
    clone 56 220 120 1 y;
    clone3 435 435 435 0 sys_admin;
    close 3 57 6 1 y;
    close_range 436 436 436 7 y;
    connect 42 203 362 5 y;
    copy_file_range 326 285 377 37 y;
    creat 85 - 8 2 y;
    create_module 174 - 127 0 n;
    delete_module 176 106 129 2 sys_module;
    dup 32 23 41 1 y;
    dup2 33 - 63 3 y;
    dup3 292 24 330 7 y;
    epoll_create 213 - 254 1 y;
    epoll_create1 291 20 329 1 y;
    epoll_ctl 233 21 255 7 y;
    epoll_ctl_old 214 - - 0 n;
    epoll_pwait 281 22 319 13 y;
    epoll_pwait2 441 441 441 5 y;
    epoll_wait 232 - 256 13 y;
    epoll_wait_old 215 - - 0 n;
    eventfd 284 - 323 1 y;
    eventfd2 290 19 328 3 y;
    execve 59 221 11 0 y;
    execveat 322 281 358 17 y;
    exit 60 93 1 1 y;
    exit_group 231 94 252 1 y;
    faccessat 269 48 307 5 y;
    faccessat2 439 439 439 13 y;
    fadvise64 221 223 250 9 y;
    fadvise64_64 - - 272 0 y;
    fallocate 285 47 324 3 y;
    fanotify_init 300 262 338 3 sys_admin;
    fanotify_mark 301 263 339 11 sys_admin;
    fchdir 81 50 133 1 y;
    fchmod 91 52 94 3 y;
    fchmodat 268 53 306 5 y;
    fchmodat2 452 452 452 13 y;
    fchown 93 55 95 7 y;
    fchown32 - - 207 0 y;
    fchownat 260 54 298 29 y;
    fcntl 72 25 55 3 y;
    fcntl64 - - 221 0 y;
    fdatasync 75 83 148 1 y;
    fgetxattr 193 10 231 1 y;
    file_getattr 468 468 468 17 y;
    file_setattr 469 469 469 17 y;
    finit_module 313 273 350 5 sys_module;
    flistxattr 196 13 234 1 y;
    flock 73 32 143 3 y;
    fork 57 - 2 0 y;
    fremovexattr 199 16 237 1 y;
    fsconfig 431 431 431 19 sys_admin;
    fsetxattr 190 7 228 17 y;
    fsmount 432 432 432 7 sys_admin;
    fsopen 430 430 430 2 sys_admin;
    fspick 433 433 433 5 sys_admin;
    fstat 5 80 108 1 y;
    fstat64 - - 197 0 y;
    fstatat64 - - 300 0 y;
    fstatfs 138 44 100 1 y;
    fstatfs64 - - 269 0 y;
    fsync 74 82 118 1 y;
    ftime - - 35 0 n;
    ftruncate 77 46 93 1 y;
    ftruncate64 - - 194 0 y;
    futex 202 98 240 38 y;
    futex_requeue 456 456 456 14 y;
    futex_time64 - - 422 0 y;
    futex_wait 455 455 455 40 y;
    futex_waitv 449 449 449 22 y;
    futex_wake 454 454 454 12 y;
    futimesat 261 - 299 1 y;
    get_kernel_syms 177 - 130 0 n;
    get_mempolicy 239 236 275 0 sys_nice;
    get_robust_list 274 100 312 1 y;
    get_thread_area 211 - 244 0 y;
    getcpu 309 168 318 0 y;
    getcwd 79 17 183 0 y;
    getdents 78 - 141 5 y;
    getdents64 217 61 220 5 y;
    getegid 108 177 50 0 y;
    getegid32 - - 202 0 y;
    geteuid 107 175 49 0 y;
    geteuid32 - - 201 0 y;
    getgid 104 176 47 0 y;
    getgid32 - - 200 0 y;
    getgroups 115 158 80 1 y;
    getgroups32 - - 205 0 y;
    getitimer 36 102 105 1 y;
    getpeername 52 205 368 1 y;
    getpgid 121 155 132 1 y;
    getpgrp 111 - 65 0 y;
    getpid 39 172 20 0 y;
    getpmsg 181 - 188 0 n;
    getppid 110 173 64 0 y;
    getpriority 140 141 96 3 y;
    getrandom 318 278 355 4 y;
    getresgid 120 150 171 0 y;
    getresgid32 - - 211 0 y;
    getresuid 118 148 165 0 y;
    getresuid32 - - 209 0 y;
    getrlimit 97 163 76 1 y;
    getrusage 98 165 77 1 y;
    getsid 124 156 147 1 y;
    getsockname 51 204 367 1 y;
    getsockopt 55 209 365 7 y;
    gettid 186 178 224 0 y;
    gettimeofday 96 169 78 0 y;
    getuid 102 174 24 0 y;
    getuid32 - - 199 0 y;
    getxattr 191 8 229 0 y;
    getxattrat 464 464 464 5 y;
    gtty - - 32 0 n;
    idle - - 112 0 n;
    init_module 175 105 128 0 sys_module;
    inotify_add_watch 254 27 292 5 y;
    inotify_init 253 - 291 0 y;
    inotify_init1 294 26 332 1 y;
    inotify_rm_watch 255 28 293 3 y;
    io_cancel 210 3 249 0 y;
    io_destroy 207 1 246 0 y;
    io_getevents 208 4 247 0 y;
    io_pgetevents 333 292 385 0 y;
    io_pgetevents_time64 - - 416 0 y;
    io_setup 206 0 245 1 y;
    io_submit 209 2 248 0 y;
    io_uring_enter 426 426 426 15 n;
    io_uring_register 427 427 427 11 n;
    io_uring_setup 425 425 425 1 n;
    ioctl 16 29 54 3 y;
    ioperm 173 - 101 4 sys_rawio;
    iopl 172 - 110 1 sys_rawio;
    ioprio_get 252 31 290 3 y;
    ioprio_set 251 30 289 7 y;
    ipc - - 117 0 y;
    kcmp 312 272 349 7 sys_ptrace;
    kexec_file_load 320 294 - 3 sys_boot;
    kexec_load 246 104 283 0 sys_boot;
    keyctl 250 219 288 1 n;
    kill 62 129 37 3 y;
    landlock_add_rule 445 445 445 11 y;
    landlock_create_ruleset 444 444 444 4 y;
    landlock_restrict_self 446 446 446 3 y;
    lchown 94 - 16 6 y;
    lchown32 - - 198 0 y;
    lgetxattr 192 9 230 0 y;
    link 86 - 9 0 y;
    linkat 265 37 303 21 y;
    listen 50 201 363 3 y;
    listmount 458 458 458 8 sys_admin;
    listxattr 194 11 232 0 y;
    listxattrat 465 465 465 5 y;
    llistxattr 195 12 233 0 y;
    lock - - 53 0 n;
    lookup_dcookie 212 18 253 0 sys_admin;
    lremovexattr 198 15 236 0 y;
    lseek 8 62 19 5 y;
    lsetxattr 189 6 227 16 y;
    lsm_get_self_attr 459 459 459 9 sys_admin;
    lsm_list_modules 461 461 461 4 sys_admin;
    lsm_set_self_attr 460 460 460 13 sys_admin;
    lstat 6 - 107 0 y;
    lstat64 - - 196 0 y;
    madvise 28 233 219 4 y;
    map_shadow_stack 453 453 453 0 y;
    mbind 237 235 274 32 sys_nice;
    membarrier 324 283 375 7 y;
    memfd_create 319 279 356 2 y;
    memfd_secret 447 447 447 1 y;
    migrate_pages 256 238 294 1 sys_nice;
    mincore 27 232 218 0 y;
    mkdir 83 - 39 2 y;
    mkdirat 258 34 296 5 y;
    mknod 133 - 14 6 y;
    mknodat 259 33 297 13 y;
    mlock 149 228 150 0 y;
    mlock2 325 284 376 4 y;
    mlockall 151 230 152 1 y;
    mmap 9 222 90 0 y;
    mmap2 - - 192 0 y;
    modify_ldt 154 - 123 1 n;
    mount 165 40 21 0 sys_admin;
    mount_setattr 442 442 442 5 sys_admin;
    move_mount 429 429 429 21 sys_admin;
    move_pages 279 239 317 33 sys_nice;
    mprotect 10 226 125 0 y;
    mpx - - 56 0 n;
    mq_getsetattr 245 185 282 1 y;
    mq_notify 244 184 281 1 y;
    mq_open 240 180 277 6 y;
    mq_timedreceive 243 183 280 1 y;
    mq_timedreceive_time64 - - 419 0 y;
    mq_timedsend 242 182 279 9 y;
    mq_timedsend_time64 - - 418 0 y;
    mq_unlink 241 181 278 0 y;
    mremap 25 216 163 0 y;
    mseal 462 462 462 0 y;
    msgctl 71 187 402 3 y;
    msgget 68 186 399 3 y;
    msgrcv 70 188 401 17 y;
    msgsnd 69 189 400 9 y;
    msync 26 227 144 4 y;
    munlock 150 229 151 0 y;
    munlockall 152 231 153 0 y;
    munmap 11 215 91 0 y;
    name_to_handle_at 303 264 341 17 dac_read_search;
    nanosleep 35 101 162 0 y;
    newfstatat 262 79 - 9 y;
    nfsservctl 180 42 169 0 n;
    nice - - 34 0 y;
    oldfstat - - 28 0 y;
    oldlstat - - 84 0 y;
    oldolduname - - 59 0 y;
    oldstat - - 18 0 y;
    olduname - - 109 0 y;
    open 2 - 5 6 y;
    open_by_handle_at 304 265 342 5 dac_read_search;
    open_tree 428 428 428 5 sys_admin;
    open_tree_attr 467 467 467 5 sys_admin;
    openat 257 56 295 13 y;
    openat2 437 437 437 1 y;
    pause 34 - 29 0 y;
    perf_event_open 298 241 336 14 perfmon;
    personality 135 92 136 1 y;
    pidfd_getfd 438 438 438 7 sys_ptrace;
    pidfd_open 434 434 434 3 y;
    pidfd_send_signal 424 424 424 11 y;
    pipe 22 - 42 0 y;
    pipe2 293 59 331 2 y;
    pivot_root 155 41 217 0 sys_admin;
    pkey_alloc 330 289 381 0 y;
    pkey_free 331 290 382 1 y;
    pkey_mprotect 329 288 380 8 y;
    poll 7 - 168 6 y;
    ppoll 271 73 309 2 y;
    ppoll_time64 - - 414 0 y;
    prctl 157 167 172 1 y;
    pread64 17 67 180 1 y;
    preadv 295 69 333 0 y;
    preadv2 327 286 378 32 y;
    prlimit64 302 261 340 3 y;
    process_madvise 440 440 440 25 y;
    process_mrelease 448 448 448 3 y;
    process_vm_readv 310 270 347 1 sys_ptrace;
    process_vm_writev 311 271 348 1 sys_ptrace;
    prof - - 44 0 n;
    profil - - 98 0 n;
    pselect6 270 72 308 1 y;
    pselect6_time64 - - 413 0 y;
    ptrace 101 117 26 0 sys_ptrace;
    putpmsg 182 - 189 0 n;
    pwrite64 18 68 181 1 y;
    pwritev 296 70 334 0 y;
    pwritev2 328 287 379 32 y;
    query_module 178 - 167 0 n;
    quotactl 179 60 131 5 sys_admin;
    quotactl_fd 443 443 443 7 sys_admin;
    read 0 63 3 1 y;
    readahead 187 213 225 1 y;
    readdir - - 89 0 y;
    readlink 89 - 85 4 y;
    readlinkat 267 78 305 9 y;
    readv 19 65 145 0 y;
    reboot 169 142 88 7 sys_boot;
    recvfrom 45 207 371 9 y;
    recvmmsg 299 243 337 13 y;
    recvmmsg_time64 - - 417 0 y;
    recvmsg 47 212 372 5 y;
    remap_file_pages 216 234 257 0 y;
    removexattr 197 14 235 0 y;
    removexattrat 466 466 466 5 y;
    rename 82 - 38 0 y;
    renameat 264 38 302 5 y;
    renameat2 316 276 353 21 y;
    request_key 249 218 287 8 n;
    restart_syscall 219 128 0 0 y;
    rmdir 84 - 40 0 y;
    rseq 334 293 386 14 y;
    rt_sigaction 13 134 174 1 y;
    rt_sigpending 127 136 176 0 y;
    rt_sigprocmask 14 135 175 1 y;
    rt_sigqueueinfo 129 138 178 3 y;
    rt_sigreturn 15 139 173 0 y;
    rt_sigsuspend 130 133 179 0 y;
    rt_sigtimedwait 128 137 177 0 y;
    rt_sigtimedwait_time64 - - 421 0 y;
    rt_tgsigqueueinfo 297 240 335 7 y;
    sched_get_priority_max 146 125 159 1 y;
    sched_get_priority_min 147 126 160 1 y;
    sched_getaffinity 204 123 242 3 y;
    sched_getattr 315 275 352 13 y;
    sched_getparam 143 121 155 1 y;
    sched_getscheduler 145 120 157 1 y;
    sched_rr_get_interval 148 127 161 1 y;
    sched_rr_get_interval_time64 - - 423 0 y;
    sched_setaffinity 203 122 241 3 y;
    sched_setattr 314 274 351 5 y;
    sched_setparam 142 118 154 1 y;
    sched_setscheduler 144 119 156 3 y;
    sched_yield 24 124 158 0 y;
    seccomp 317 277 354 3 y;
    security 185 - - 0 n;
    select 23 - 82 1 y;
    semctl 66 191 394 7 y;
    semget 64 190 393 7 y;
    semop 65 193 - 5 y;
    semtimedop 220 192 - 5 y;
    semtimedop_time64 - - 420 0 y;
    sendfile 40 71 187 3 y;
    sendfile64 - - 239 3 y;
    sendmmsg 307 269 345 13 y;
    sendmsg 46 211 370 5 y;
    sendto 44 206 369 41 y;
    set_mempolicy 238 237 276 1 sys_nice;
    set_mempolicy_home_node 450 450 450 0 sys_nice;
    set_robust_list 273 99 311 0 y;
    set_thread_area 205 - 243 0 y;
    set_tid_address 218 96 258 0 y;
    setdomainname 171 162 121 2 sys_admin;
    setfsgid 123 152 139 1 y;
    setfsgid32 - - 216 0 y;
    setfsuid 122 151 138 1 y;
    setfsuid32 - - 215 0 y;
    setgid 106 144 46 1 y;
    setgid32 - - 214 0 y;
    setgroups 116 159 81 1 y;
    setgroups32 - - 206 0 y;
    sethostname 170 161 74 2 sys_admin;
    setitimer 38 103 104 1 y;
    setns 308 268 346 3 sys_admin;
    setpgid 109 154 57 3 y;
    setpriority 141 140 97 7 y;
    setregid 114 143 71 3 y;
    setregid32 - - 204 0 y;
    setresgid 119 149 170 7 y;
    setresgid32 - - 210 0 y;
    setresuid 117 147 164 7 y;
    setresuid32 - - 208 0 y;
    setreuid 113 145 70 3 y;
    setreuid32 - - 203 0 y;
    setrlimit 160 164 75 1 y;
    setsid 112 157 66 0 y;
    setsockopt 54 208 366 23 y;
    settimeofday 164 170 79 0 sys_time;
    setuid 105 146 23 1 y;
    setuid32 - - 213 0 y;
    setxattr 188 5 226 16 y;
    setxattrat 463 463 463 5 y;
    sgetmask - - 68 0 y;
    shmat 30 196 397 5 y;
    shmctl 31 195 396 3 y;
    shmdt 67 197 398 0 y;
    shmget 29 194 395 5 y;
    shutdown 48 210 373 3 y;
    sigaction - - 67 0 y;
    sigaltstack 131 132 186 0 y;
    signal - - 48 0 y;
    signalfd 282 - 321 1 y;
    signalfd4 289 74 327 9 y;
    sigpending - - 73 0 y;
    sigprocmask - - 126 0 y;
    sigreturn - - 119 0 y;
    sigsuspend - - 72 0 y;
    socket 41 198 359 7 y;
    socketcall - - 102 0 n;
    socketpair 53 199 360 7 y;
    splice 275 76 313 37 y;
    ssetmask - - 69 0 y;
    stat 4 - 106 0 y;
    stat64 - - 195 0 y;
    statfs 137 43 99 0 y;
    statfs64 - - 268 0 y;
    statmount 457 457 457 8 sys_admin;
    statx 332 291 383 13 y;
    stime - - 25 0 sys_time;
    stty - - 31 0 n;
    swapoff 168 225 115 0 sys_admin;
    swapon 167 224 87 2 sys_admin;
    symlink 88 - 83 0 y;
    symlinkat 266 36 304 2 y;
    sync 162 81 36 0 y;
    sync_file_range 277 84 314 9 y;
    syncfs 306 267 344 1 y;
    sysfs 139 - 135 1 n;
    sysinfo 99 179 116 0 y;
    syslog 103 116 103 5 syslog;
    tee 276 77 315 11 y;
    tgkill 234 131 270 7 y;
    time 201 - 13 0 y;
    timer_create 222 107 259 1 y;
    timer_delete 226 111 263 1 y;
    timer_getoverrun 225 109 262 1 y;
    timer_gettime 224 108 261 1 y;
    timer_gettime64 - - 408 0 y;
    timer_settime 223 110 260 3 y;
    timer_settime64 - - 409 0 y;
    timerfd_create 283 85 322 3 y;
    timerfd_gettime 287 87 326 1 y;
    timerfd_gettime64 - - 410 0 y;
    timerfd_settime 286 86 325 3 y;
    timerfd_settime64 - - 411 0 y;
    times 100 153 43 0 y;
    tkill 200 130 238 3 y;
    truncate 76 45 92 0 y;
    truncate64 - - 193 0 y;
    tuxcall 184 - - 0 n;
    ugetrlimit - - 191 0 y;
    ulimit - - 58 0 n;
    umask 95 166 60 1 y;
    umount - - 22 2 sys_admin;
    umount2 166 39 52 2 sys_admin;
    uname 63 160 122 0 y;
    unlink 87 - 10 0 y;
    unlinkat 263 35 301 5 y;
    unshare 272 97 310 0 sys_admin;
    uprobe 336 - - 0 y;
    uretprobe 335 - - 0 y;
    uselib 134 - 86 0 n;
    userfaultfd 323 282 374 1 n;
    ustat 136 - 62 1 n;
    utime 132 - 30 0 y;
    utimensat 280 88 320 9 y;
    utimensat_time64 - - 412 0 y;
    utimes 235 - 271 0 y;
    vfork 58 - 190 0 y;
    vhangup 153 58 111 0 sys_tty_config;
    vm86 - - 166 0 n;
    vm86old - - 113 0 n;
    vmsplice 278 75 316 9 y;
    vserver 236 - 273 0 n;
    wait4 61 260 114 5 y;
    waitid 247 95 284 11 y;
    waitpid - - 7 0 y;
    write 1 64 4 1 y;
    writev 20 66 146 0 y;
}

/// Where each name starts; one more for the end.
static STARTS: [u16; COUNT + 1] = starts();

#[allow(
    clippy::cast_possible_truncation,
    reason = "the names are some thousand bytes"
)]
const fn starts() -> [u16; COUNT + 1] {
    let bytes = NAMES.as_bytes();
    let mut starts = [0; COUNT + 1];
    let (mut at, mut name) = (0, 0);
    while at < bytes.len() {
        if bytes[at] == b' ' {
            name += 1;
            starts[name] = at as u16 + 1;
        }
        at += 1;
    }
    starts
}

fn name_at(index: usize) -> &'static str {
    let start = STARTS.get(index).copied().unwrap_or(0);
    let end = STARTS.get(index + 1).copied().unwrap_or(1);
    NAMES
        .get(start.into()..usize::from(end) - 1)
        .unwrap_or_default()
}

/// A system call of some machine, by its place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call(usize);

impl Call {
    /// The call of this name; `None` where no machine in the table has it.
    pub fn named(name: &str) -> Option<Self> {
        let (mut low, mut high) = (0, COUNT);
        while low < high {
            let middle = usize::midpoint(low, high);
            match name_at(middle).cmp(name) {
                std::cmp::Ordering::Equal => return Some(Self(middle)),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// All calls.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..COUNT).map(Self)
    }

    /// Its place in the table, from 0.
    pub fn place(self) -> usize {
        self.0
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        name_at(self.0)
    }

    /// Its number on a machine.
    pub fn number(self, arch: Arch) -> Option<u32> {
        let table = match arch {
            Arch::X86_64 => &X86_64,
            Arch::X32 => return self.on_x32(),
            Arch::X86 => &X86,
            Arch::Aarch64 => &AARCH64,
        };
        let number = table.get(self.0).copied().filter(|number| *number != NONE);
        number.map(u32::from)
    }

    /// Whether the kernel reads no more than 32 bits of an argument, counted from 0.
    pub fn is_narrow(self, arch: Arch, argument: u32) -> bool {
        let bits = NARROW.get(self.0).copied().unwrap_or(0);
        arch == Arch::X86 || argument < 6 && bits & 1 << argument != 0
    }

    /// Whether the default profile allows it to a program with these capabilities.
    pub(super) fn is_allowed(self, capabilities: Set) -> bool {
        match LEAVE.get(self.0).copied().unwrap_or(NOBODY) {
            ALL => true,
            NOBODY => false,
            capability => capabilities.0 & 1 << capability != 0,
        }
    }

    /// x32 has the numbers of x86_64 with a bit set, but for calls whose structures differ, and for some it has not.
    fn on_x32(self) -> Option<u32> {
        let name = self.name();
        let own = X32_OWN.iter().position(|known| *known == name);
        let number = match own {
            Some(at) => u32::try_from(at).ok()? + 512,
            None if X32_LACKS.contains(&name) => return None,
            None => self.number(Arch::X86_64)?,
        };
        Some(number | super::X32_BIT)
    }
}

/// From 512 on, in this order.
#[rustfmt::skip]
const X32_OWN: [&str; 36] = [
    "rt_sigaction", "rt_sigreturn", "ioctl", "readv", "writev", "recvfrom", "sendmsg", "recvmsg", "execve", "ptrace",
    "rt_sigpending", "rt_sigtimedwait", "rt_sigqueueinfo", "sigaltstack", "timer_create", "mq_notify", "kexec_load",
    "waitid", "set_robust_list", "get_robust_list", "vmsplice", "move_pages", "preadv", "pwritev",
    "rt_tgsigqueueinfo", "recvmmsg", "sendmmsg", "process_vm_readv", "process_vm_writev", "setsockopt", "getsockopt",
    "io_setup", "io_submit", "execveat", "preadv2", "pwritev2",
];

#[rustfmt::skip]
const X32_LACKS: [&str; 13] = [
    "_sysctl", "create_module", "epoll_ctl_old", "epoll_wait_old", "get_kernel_syms", "get_thread_area", "nfsservctl",
    "query_module", "set_thread_area", "uprobe", "uretprobe", "uselib", "vserver",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_found() {
        let mut last = "";
        for call in Call::all() {
            assert!(last < call.name(), "{last} {}", call.name());
            last = call.name();
            assert_eq!(Call::named(last), Some(call));
        }
        for name in ["", "x", "rea", "readx", "zzz", "read "] {
            assert_eq!(Call::named(name), None, "{name}");
        }
        const { assert!(COUNT > 460) };
    }

    /// The C library's numbers are another hand's copy of the kernel's.
    #[test]
    fn numbers_are_those_of_the_c_library() {
        let native = Arch::native().unwrap();
        let known: [(&str, i64); 14] = [
            ("read", libc::SYS_read),
            ("openat", libc::SYS_openat),
            ("clone3", libc::SYS_clone3),
            ("socket", libc::SYS_socket),
            ("ptrace", libc::SYS_ptrace),
            ("mount", libc::SYS_mount),
            ("seccomp", libc::SYS_seccomp),
            ("bpf", libc::SYS_bpf),
            ("keyctl", libc::SYS_keyctl),
            ("io_uring_setup", libc::SYS_io_uring_setup),
            ("prctl", libc::SYS_prctl),
            ("execve", libc::SYS_execve),
            ("mseal", libc::SYS_mseal),
            ("personality", libc::SYS_personality),
        ];
        for (name, number) in known {
            let ours = Call::named(name).unwrap().number(native).map(i64::from);
            assert_eq!(ours, Some(number), "{name}");
        }
    }

    #[test]
    fn other_machines_have_other_numbers() {
        let of = |name: &str, arch| Call::named(name).unwrap().number(arch);
        assert_eq!(of("open", Arch::Aarch64), None);
        assert_eq!(of("openat", Arch::Aarch64), Some(56));
        assert_eq!(of("socketcall", Arch::X86), Some(102));
        assert_eq!(of("read", Arch::X32), Some(0x4000_0000));
        assert_eq!(of("execve", Arch::X32), Some(0x4000_0000 | 520));
        assert_eq!(of("pwritev2", Arch::X32), Some(0x4000_0000 | 547));
        assert_eq!(of("uselib", Arch::X32), None);
        let socket = Call::named("socket").unwrap();
        assert!(
            socket.is_narrow(Arch::X86_64, 0)
                && !socket.is_narrow(Arch::X86_64, 3)
                && socket.is_narrow(Arch::X86, 3)
        );
        assert!(!Call::named("unshare").unwrap().is_narrow(Arch::X86_64, 0));
    }
}
