//! The filter as the kernel would run it, call by call: a system-call number nobody thought of must die, too.

use seccompiler::{BpfProgram, sock_filter};

use super::filter;

const SOCKET: i32 = 7;
const STATM: i32 = 8;
/// `AUDIT_ARCH_X86_64`, `AUDIT_ARCH_AARCH64` and a stranger (linux/audit.h).
const ARCH: u32 = if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 };
const ARCH_I386: u32 = 0x4000_0003;
const ALLOW: u32 = 0x7fff_0000;
const KILL_PROCESS: u32 = 0x8000_0000;

/// `struct seccomp_data` (linux/seccomp.h): number, architecture, instruction pointer, six arguments.
fn data(arch: u32, call: i64, arguments: [u64; 6]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(u32::try_from(call).unwrap().to_ne_bytes());
    bytes.extend(arch.to_ne_bytes());
    bytes.extend(0u64.to_ne_bytes());
    arguments.iter().for_each(|a| bytes.extend(a.to_ne_bytes()));
    bytes
}

/// Classic BPF (linux/bpf_common.h), as much as seccomp allows and the filter uses.
fn run(program: &[sock_filter], data: &[u8]) -> u32 {
    let (mut at, mut a) = (0usize, 0u32);
    loop {
        let step = &program[at];
        let jump = |yes: bool| usize::from(if yes { step.jt } else { step.jf });
        at += 1;
        match step.code {
            0x20 => a = u32::from_ne_bytes(data[step.k as usize..][..4].try_into().unwrap()),
            0x05 => at += step.k as usize,
            0x15 => at += jump(a == step.k),
            0x25 => at += jump(a > step.k),
            0x35 => at += jump(a >= step.k),
            0x45 => at += jump(a & step.k != 0),
            0x54 => a &= step.k,
            0x06 => return step.k,
            other => panic!("an instruction {other:#x} this test does not know"),
        }
    }
}

fn program() -> BpfProgram {
    filter(SOCKET, STATM).unwrap().try_into().unwrap()
}

#[track_caller]
fn verdict(program: &BpfProgram, call: i64, arguments: [u64; 6]) -> bool {
    match run(program, &data(ARCH, call, arguments)) {
        ALLOW => true,
        KILL_PROCESS => false,
        other => panic!("neither allowed nor killed: {other:#x}"),
    }
}

#[test]
fn of_all_calls_a_kernel_may_have_only_the_listed_are_allowed() {
    let program = program();
    let arguments = [u64::from(SOCKET.unsigned_abs()), 0, 0, 0, u64::from(u32::MAX), 0];
    let allowed: Vec<i64> = (0..2_000).filter(|call| verdict(&program, *call, arguments)).collect();
    let mut listed = vec![
        libc::SYS_read,
        libc::SYS_recvfrom,
        libc::SYS_write,
        libc::SYS_sendto,
        libc::SYS_mmap,
        libc::SYS_mprotect,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_brk,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_clock_gettime,
        libc::SYS_gettimeofday,
        libc::SYS_getrandom,
        libc::SYS_sched_yield,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_close,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    listed.sort_unstable();
    assert_eq!(allowed, listed);
}

#[test]
fn every_class_of_trespass_dies() {
    let program = program();
    let classes: &[(&str, &[i64])] = &[
        (
            "files",
            &[
                libc::SYS_openat,
                libc::SYS_openat2,
                libc::SYS_unlinkat,
                libc::SYS_renameat2,
                libc::SYS_statx,
                libc::SYS_getdents64,
                libc::SYS_fchmodat,
                libc::SYS_linkat,
                libc::SYS_mkdirat,
                libc::SYS_mount,
                libc::SYS_chroot,
                libc::SYS_fcntl,
                libc::SYS_ioctl,
                libc::SYS_dup,
                libc::SYS_ftruncate,
                libc::SYS_sendfile,
                libc::SYS_splice,
            ],
        ),
        (
            "network",
            &[
                libc::SYS_socket,
                libc::SYS_socketpair,
                libc::SYS_connect,
                libc::SYS_bind,
                libc::SYS_listen,
                libc::SYS_accept4,
                libc::SYS_sendmsg,
                libc::SYS_recvmsg,
                libc::SYS_setsockopt,
            ],
        ),
        (
            "processes",
            &[
                libc::SYS_clone,
                libc::SYS_clone3,
                libc::SYS_execve,
                libc::SYS_execveat,
                libc::SYS_unshare,
                libc::SYS_setns,
                libc::SYS_wait4,
                libc::SYS_prctl,
                libc::SYS_seccomp,
                libc::SYS_setuid,
                libc::SYS_prlimit64,
            ],
        ),
        (
            "signals",
            &[
                libc::SYS_kill,
                libc::SYS_tkill,
                libc::SYS_rt_sigqueueinfo,
                libc::SYS_pidfd_open,
                libc::SYS_pidfd_send_signal,
            ],
        ),
        (
            "other processes",
            &[
                libc::SYS_ptrace,
                libc::SYS_process_vm_readv,
                libc::SYS_process_vm_writev,
                libc::SYS_kcmp,
                libc::SYS_pidfd_getfd,
            ],
        ),
        (
            "memory that outlives or runs",
            &[
                libc::SYS_memfd_create,
                libc::SYS_shmget,
                libc::SYS_userfaultfd,
                libc::SYS_pkey_mprotect,
                libc::SYS_mlock,
                libc::SYS_remap_file_pages,
            ],
        ),
        (
            "rings",
            &[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register, libc::SYS_io_setup],
        ),
        (
            "the kernel",
            &[
                libc::SYS_bpf,
                libc::SYS_perf_event_open,
                libc::SYS_keyctl,
                libc::SYS_init_module,
                libc::SYS_kexec_load,
                libc::SYS_reboot,
                libc::SYS_settimeofday,
                libc::SYS_clock_settime,
                libc::SYS_syslog,
            ],
        ),
        (
            "waiting",
            &[
                libc::SYS_nanosleep,
                libc::SYS_clock_nanosleep,
                libc::SYS_ppoll,
                libc::SYS_epoll_pwait,
                libc::SYS_timerfd_create,
                libc::SYS_setitimer,
            ],
        ),
    ];
    let ours = u64::from(SOCKET.unsigned_abs());
    for (class, calls) in classes {
        for call in *calls {
            assert!(!verdict(&program, *call, [ours; 6]), "{class}: {call}");
            assert!(!verdict(&program, *call, [0; 6]), "{class}: {call}");
        }
    }
}

#[test]
fn what_is_allowed_is_allowed_on_our_own_things_only() {
    let program = program();
    let (socket, statm) = (u64::from(SOCKET.unsigned_abs()), u64::from(STATM.unsigned_abs()));
    let anonymous = u64::from(u32::MAX);
    let execute = u64::from(libc::PROT_EXEC.unsigned_abs());
    let write = u64::from(libc::PROT_WRITE.unsigned_abs());
    for (call, arguments, allowed) in [
        (libc::SYS_read, [socket, 0, 0, 0, 0, 0], true),
        (libc::SYS_read, [0; 6], false),
        (libc::SYS_write, [socket, 0, 0, 0, 0, 0], true),
        (libc::SYS_write, [2, 0, 0, 0, 0, 0], true),
        (libc::SYS_write, [1, 0, 0, 0, 0, 0], false),
        (libc::SYS_sendto, [statm, 0, 0, 0, 0, 0], false),
        (libc::SYS_pread64, [statm, 0, 0, 0, 0, 0], true),
        (libc::SYS_pread64, [socket, 0, 0, 0, 0, 0], false),
        (libc::SYS_mmap, [0, 4096, write, 0, anonymous, 0], true),
        (libc::SYS_mmap, [0, 4096, write, 0, statm, 0], false),
        (libc::SYS_mmap, [0, 4096, write | execute, 0, anonymous, 0], false),
        (libc::SYS_mprotect, [0, 4096, write, 0, 0, 0], true),
        (libc::SYS_mprotect, [0, 4096, execute, 0, 0, 0], false),
        (libc::SYS_tgkill, [u64::from(std::process::id()), 1, 6, 0, 0, 0], true),
        (libc::SYS_tgkill, [1, 1, 6, 0, 0, 0], false),
        (libc::SYS_tgkill, [u64::from(std::process::id()), 1, 9, 0, 0, 0], false),
    ] {
        assert_eq!(verdict(&program, call, arguments), allowed, "{call} {arguments:?}");
    }
}

#[test]
fn calls_of_another_architecture_die() {
    let program = program();
    let socket = u64::from(SOCKET.unsigned_abs());
    assert_eq!(run(&program, &data(ARCH_I386, libc::SYS_read, [socket; 6])), KILL_PROCESS);
    // x32: the same architecture, numbers with this bit.
    assert_eq!(run(&program, &data(ARCH, libc::SYS_read | 0x4000_0000, [socket; 6])), KILL_PROCESS);
}
