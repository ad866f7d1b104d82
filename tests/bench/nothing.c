// The smallest payload: what is measured around it should be the tool. No C library: cc -Os -static -nostdlib.

void _start(void) {
#if defined(__x86_64__)
    __asm__ volatile("syscall" : : "a"(231L), "D"(0L) : "rcx", "r11", "memory");
#elif defined(__aarch64__)
    register long status __asm__("x0") = 0;
    register long exit_group __asm__("x8") = 94;
    __asm__ volatile("svc 0" : : "r"(status), "r"(exit_group) : "memory");
#endif
    __builtin_unreachable();
}
