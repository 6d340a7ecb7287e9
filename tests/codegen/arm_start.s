// A server for kernels on Linux: maps the file that its argument names, then calls one kernel for
// each byte that it reads, and writes a byte when the kernel has returned.
//
// In the file: the kernel's number in the table `kernels`, and 16 arguments; the result goes where
// the number was. `spawn` starts a thread of a whole program.

        .set    OPENAT, 56
        .set    READ, 63
        .set    WRITE, 64
        .set    EXIT, 93
        .set    EXIT_GROUP, 94
        .set    SCHED_YIELD, 124
        .set    CLONE, 220
        .set    MMAP, 222

        .text
        .globl  _start
_start: ldr     x1, [sp, #16]           // argv[1]
        mov     x0, #-100               // AT_FDCWD
        mov     x2, #2                  // O_RDWR
        mov     x8, #OPENAT
        svc     #0
        mov     x4, x0
        ldr     x0, =ARENA
        ldr     x1, =ARENA_BYTES
        mov     x2, #3                  // PROT_READ | PROT_WRITE
        mov     x3, #0x11               // MAP_SHARED | MAP_FIXED
        mov     x5, #0
        mov     x8, #MMAP
        svc     #0
        mov     x19, x0
        ldr     x20, =kernels
        sub     sp, sp, #80             // arguments 8 to 15, and a byte
1:      mov     x0, #0
        add     x1, sp, #64
        mov     x2, #1
        mov     x8, #READ
        svc     #0
        cmp     x0, #1
        b.ne    2f
        ldp     x10, x11, [x19, #72]
        stp     x10, x11, [sp]
        ldp     x10, x11, [x19, #88]
        stp     x10, x11, [sp, #16]
        ldp     x10, x11, [x19, #104]
        stp     x10, x11, [sp, #32]
        ldp     x10, x11, [x19, #120]
        stp     x10, x11, [sp, #48]
        ldp     x0, x1, [x19, #8]
        ldp     x2, x3, [x19, #24]
        ldp     x4, x5, [x19, #40]
        ldp     x6, x7, [x19, #56]
        ldr     x9, [x19]
        ldr     x9, [x20, x9, lsl #3]
        blr     x9
        str     x0, [x19]
        mov     x0, #1
        add     x1, sp, #64
        mov     x2, #1
        mov     x8, #WRITE
        svc     #0
        b       1b
2:      mov     x0, #0
        mov     x8, #EXIT_GROUP
        svc     #0

// spawn(control, number, end of the stack): a thread that calls worker(control, number).

        .weak   worker
        .globl  spawn
spawn:  stp     x0, x1, [x2, #-16]!
        mov     x1, x2
        ldr     x0, =0x50f00            // CLONE_VM, FS, FILES, SIGHAND, THREAD and SYSVSEM
        mov     x2, #0
        mov     x3, #0
        mov     x4, #0
        mov     x8, #CLONE
        svc     #0
        cbnz    x0, 1f
        ldp     x0, x1, [sp], #16
        bl      worker
        mov     x0, #0
        mov     x8, #EXIT
        svc     #0
1:      ret

// What compiled code may call of the C library.

        .globl  memset
memset: mov     x3, x0
1:      cbz     x2, 2f
        strb    w1, [x3], #1
        sub     x2, x2, #1
        b       1b
2:      ret

        .globl  memcpy
memcpy: mov     x3, x0
1:      cbz     x2, 2f
        ldrb    w4, [x1], #1
        strb    w4, [x3], #1
        sub     x2, x2, #1
        b       1b
2:      ret

        .globl  syscall
syscall:
        mov     x8, x0
        mov     x0, x1
        mov     x1, x2
        mov     x2, x3
        mov     x3, x4
        mov     x4, x5
        mov     x5, x6
        svc     #0
        ret

        .globl  sched_yield
sched_yield:
        mov     x8, #SCHED_YIELD
        svc     #0
        ret
