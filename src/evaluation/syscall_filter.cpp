#include "evaluation/syscall_filter.h"

#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <vector>

#include "base/error.h"

namespace rocket {
namespace {

/// Allowed whatever the arguments.
constexpr const char* harmless[] = {
    // memory
    "brk", "mmap", "munmap", "mprotect", "mremap", "madvise", "msync", "mincore",
    // open files
    "read", "readv", "pread64", "preadv", "preadv2", "write", "writev", "pwrite64", "pwritev", "pwritev2",
    "lseek", "close", "close_range", "dup", "dup2", "dup3", "fstat", "fstatfs", "ftruncate", "fsync",
    "fdatasync", "fadvise64", "flock", "getdents", "getdents64", "sendfile", "copy_file_range",
    // names of files; Landlock or the namespace decides which can be opened or changed
    "stat", "lstat", "newfstatat", "statx", "statfs", "access", "faccessat", "faccessat2", "readlink",
    "readlinkat", "getcwd", "chdir", "fchdir", "umask", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat",
    "rename", "renameat", "renameat2", "symlink", "symlinkat",
    // waiting, pipes, the two ends of a socketpair
    "poll", "ppoll", "select", "pselect6", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait",
    "epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2", "timerfd_create", "timerfd_settime",
    "timerfd_gettime", "pipe", "pipe2", "recvfrom", "recvmsg", "shutdown", "getsockopt", "setsockopt",
    "getsockname", "getpeername",
    // handlers and timers of its own
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigsuspend", "rt_sigtimedwait",
    "sigaltstack", "restart_syscall", "alarm", "pause", "setitimer", "getitimer",
    // time
    "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "times",
    // itself and its threads
    "getpid", "getppid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid",
    "getgroups", "getpgrp", "getpgid", "getsid", "getrusage", "getrlimit", "setrlimit", "getpriority",
    "uname", "sysinfo", "getcpu", "getrandom", "sched_yield", "sched_getaffinity", "sched_getparam",
    "sched_getscheduler", "sched_get_priority_max", "sched_get_priority_min", "futex", "futex_waitv",
    "set_tid_address", "set_robust_list", "get_robust_list", "rseq", "arch_prctl", "wait4", "waitid",
    "execve", "exit", "exit_group"};

/// By path or descriptor Landlock sees none of these. They succeed without effect: copies of files keep
/// working.
constexpr const char* ineffective[] = {"chmod", "fchmod", "fchmodat",  "fchmodat2",
                                       "chown", "fchown", "lchown",    "fchownat",
                                       "utime", "utimes", "futimesat", "utimensat"};
/// As on a file system without extended attributes.
constexpr const char* attributes[] = {"getxattr",   "lgetxattr",   "fgetxattr",    "setxattr",
                                      "lsetxattr",  "fsetxattr",   "listxattr",    "llistxattr",
                                      "flistxattr", "removexattr", "lremovexattr", "fremovexattr"};

/// fcntl without F_SETOWN and F_SETSIG, by which the kernel would send any signal to any process of the user.
constexpr int fcntl_commands[] = {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD,  F_SETFD,     F_GETFL,     F_SETFL,
                                  F_GETLK, F_SETLK,         F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW};
/// ioctl without TIOCSTI, which types into the terminal, and without FIOSETOWN.
constexpr unsigned long ioctl_requests[] = {TCGETS, TIOCGWINSZ, FIOCLEX, FIONCLEX, FIONBIO, FIONREAD};

class Filter {
 public:
  Filter() : context_(seccomp_init(SCMP_ACT_ERRNO(ENOSYS)), seccomp_release) {
    if (!context_) fail_internal("libseccomp: no filter could be made");
    require(seccomp_attr_set(context_.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS));
  }

  /// What the library or the architecture does not know stays closed.
  void answer(std::uint32_t action, const char* name, std::initializer_list<scmp_arg_cmp> when = {}) {
    const int number = seccomp_syscall_resolve_name(name);
    if (number < 0) return;
    require(seccomp_rule_add_array(context_.get(), action, number, static_cast<unsigned>(when.size()),
                                   when.begin()));
  }
  void allow(const char* name, std::initializer_list<scmp_arg_cmp> when = {}) {
    answer(SCMP_ACT_ALLOW, name, when);
  }

  std::string bytes() const {
    const int file = memfd_create("filter", MFD_CLOEXEC);
    if (file < 0) fail_internal("memfd_create: {}", std::strerror(errno));
    const int exported = seccomp_export_bpf(context_.get(), file);
    std::string program(static_cast<std::size_t>(lseek(file, 0, SEEK_END)), '\0');
    const ssize_t read = pread(file, program.data(), program.size(), 0);
    close(file);
    require(exported);
    if (read != static_cast<ssize_t>(program.size())) fail_internal("libseccomp: the filter is cut");
    return program;
  }

 private:
  static void require(int result) {
    if (result < 0) fail_internal("libseccomp: {}", std::strerror(-result));
  }

  std::unique_ptr<void, void (*)(scmp_filter_ctx)> context_;
};

scmp_arg_cmp is(unsigned argument, std::uint64_t value) {
  return {argument, SCMP_CMP_EQ, value, 0};
}
scmp_arg_cmp has_bits(unsigned argument, std::uint64_t mask, std::uint64_t value) {
  return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}

/// Opening for reading must not cut the file: Linux obeys O_RDONLY | O_TRUNC, and Landlock before its third
/// version does not see it.
void allow_opening(Filter& filter, const char* name, unsigned flags) {
  filter.allow(name, {has_bits(flags, O_ACCMODE | O_TRUNC, O_RDONLY)});
  filter.allow(name, {has_bits(flags, O_ACCMODE, O_WRONLY)});
  filter.allow(name, {has_bits(flags, O_ACCMODE, O_RDWR)});
}

std::string make_filter() {
  Filter filter;
  for (const char* name : harmless) filter.allow(name);
  for (const char* name : ineffective) filter.answer(SCMP_ACT_ERRNO(0), name);
  for (const char* name : attributes) filter.answer(SCMP_ACT_ERRNO(ENOTSUP), name);
  allow_opening(filter, "open", 1);
  allow_opening(filter, "openat", 2);
  for (const int command : fcntl_commands)
    filter.allow("fcntl", {is(1, static_cast<std::uint64_t>(command))});
  for (const unsigned long request : ioctl_requests) filter.allow("ioctl", {is(1, request)});
  filter.allow("clone", {has_bits(0, CLONE_THREAD, CLONE_THREAD)});
  filter.allow("fallocate", {is(1, 0)});
  filter.allow("prlimit64", {is(0, 0)});  // 0: itself
  // A pair of datagram sockets could send to any other socket of the machine, as could any with an address.
  filter.allow("socketpair", {is(0, AF_UNIX), has_bits(1, 0xf, SOCK_STREAM)});
  filter.allow("sendto", {is(4, 0)});
  return filter.bytes();
}

}  // namespace

const std::string& syscall_filter() {
  static const std::string filter = make_filter();
  return filter;
}

}  // namespace rocket
