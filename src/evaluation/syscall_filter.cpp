#include "evaluation/syscall_filter.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <vector>

namespace rocket {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t architecture = AUDIT_ARCH_AARCH64;
#else
#error "Name this architecture's AUDIT_ARCH_ value from linux/audit.h."
#endif

// Numbers that older kernel headers lack are the same on all architectures.
constexpr std::uint32_t io_uring_setup = 425, clone3 = 435;

constexpr std::uint32_t denied[] = {
#ifdef SYS_fork
    SYS_fork,   SYS_vfork,
#endif
    SYS_socket, SYS_unshare, SYS_setns,       SYS_mount, SYS_ptrace,          io_uring_setup,
    SYS_keyctl, SYS_add_key, SYS_request_key, SYS_bpf,   SYS_perf_event_open,
};

sock_filter load(std::size_t offset) {
  return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset));
}
sock_filter skip_one_unless(std::uint16_t test, std::uint32_t value) {
  return BPF_JUMP(static_cast<std::uint16_t>(BPF_JMP | test | BPF_K), value, 0, 1);
}
sock_filter answer(std::uint32_t value) {
  return BPF_STMT(BPF_RET | BPF_K, value);
}

std::string make_filter() {
  constexpr std::uint32_t deny = SECCOMP_RET_ERRNO | EPERM;
  std::vector<sock_filter> program{
      load(offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, architecture, 1, 0),
      answer(SECCOMP_RET_KILL_PROCESS),
      load(offsetof(seccomp_data, nr)),
      // The x32 numbers of x86-64 reach the same calls by other numbers.
      skip_one_unless(BPF_JGE, 0x40000000),
      answer(deny),
      // Its flags lie in memory, out of a filter's sight; libc then falls back on clone.
      skip_one_unless(BPF_JEQ, clone3),
      answer(SECCOMP_RET_ERRNO | ENOSYS),
  };
  for (const std::uint32_t number : denied) {
    program.push_back(skip_one_unless(BPF_JEQ, number));
    program.push_back(answer(deny));
  }
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3));
  program.push_back(load(offsetof(seccomp_data, args)));
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0));
  program.push_back(answer(deny));
  program.push_back(answer(SECCOMP_RET_ALLOW));
  return {reinterpret_cast<const char*>(program.data()), program.size() * sizeof(sock_filter)};
}

}  // namespace

const std::string& syscall_filter() {
  static const std::string filter = make_filter();
  return filter;
}

}  // namespace rocket
