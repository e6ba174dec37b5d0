#include "evaluation/child_process.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>
#include <utility>

#include "base/activity.h"
#include "base/error.h"

namespace rocket {
namespace {

using Clock = std::chrono::steady_clock;

Clock::time_point after(double seconds) {
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() { close(); }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

/// Not a pipe: writing to a child that died would raise SIGPIPE, writing much to one that waits would block.
Descriptor memory_file(std::string_view content) {
  Descriptor file(memfd_create("rocket", MFD_CLOEXEC));
  if (file.get() < 0) fail_internal("memfd_create: {}", std::strerror(errno));
  while (!content.empty()) {
    const ssize_t n = write(file.get(), content.data(), content.size());
    if (n < 0) fail_internal("writing to a memory file: {}", std::strerror(errno));
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  lseek(file.get(), 0, SEEK_SET);
  return file;
}

std::string beginning_of(const Descriptor& file) {
  std::string text(4096, '\0');
  const ssize_t n = pread(file.get(), text.data(), text.size(), 0);
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return text;
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (const auto& s : strings) result.push_back(const_cast<char*>(s.c_str()));
  result.push_back(nullptr);
  return result;
}

/// All that a child needs, made before it exists, and why it did not start.
struct Start {
  char* const* arguments;
  char* const* environment;
  std::array<int, 4> descriptors;  // become 0, 1, ...
  const Confinement* confinement;
  pid_t parent;
  const char* volatile failed = nullptr;
  volatile int error = 0;
};

/// Null, or what failed, with errno.
const char* confine(const Confinement& confinement, pid_t parent) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) return "prctl (PR_SET_PDEATHSIG)";
  if (chdir(confinement.folder) != 0) return "chdir";
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return "prctl (PR_SET_NO_NEW_PRIVS)";
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct none[2] = {};
  if (syscall(SYS_capset, &header, none) != 0) return "capset";
  constexpr long landlock_restrict_self = 446;
  if (syscall(landlock_restrict_self, confinement.landlock, 0) != 0) return "landlock_restrict_self";
  const sock_fprog program{static_cast<unsigned short>(confinement.filter.size() / sizeof(sock_filter)),
                           reinterpret_cast<sock_filter*>(const_cast<char*>(confinement.filter.data()))};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) return "prctl (PR_SET_SECCOMP)";
  return nullptr;
}

/// The child until its program starts. It runs in this process's memory, while the thread that made it waits:
/// system calls only.
[[noreturn]] void become(Start& start) {
  for (int number = 1; number < NSIG; ++number) signal(number, SIG_DFL);
  setsid();
  // First out of the way of each other.
  for (int& fd : start.descriptors)
    fd = fcntl(fd, F_DUPFD_CLOEXEC, static_cast<int>(start.descriptors.size()));
  const char* failed = start.confinement ? confine(*start.confinement, start.parent) : nullptr;
  if (!failed) {
    for (std::size_t to = 0; to < start.descriptors.size(); ++to)
      dup2(start.descriptors[to], static_cast<int>(to));
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    execve(start.arguments[0], start.arguments, start.environment);
    failed = "execve";
  }
  start.error = errno;
  start.failed = failed;
  _exit(127);
}

/// vfork, as posix_spawn does it, which cannot confine: fork would copy the tables of this process's memory,
/// which holds models and what MPI and devices have pinned.
pid_t spawn(const ChildProcess& child, const std::array<int, 4>& descriptors) {
  const auto arguments = pointers(child.command), environment = pointers(child.environment);
  Start start{arguments.data(), environment.data(), descriptors, child.confinement, getpid()};
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // no handler of ours runs in the child
  const pid_t pid = vfork();
  if (pid == 0) become(start);
  const int error = pid < 0 ? errno : static_cast<int>(start.error);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  const char* failed = pid < 0 ? "vfork" : static_cast<const char*>(start.failed);
  if (!failed) return pid;
  if (pid > 0) waitpid(pid, nullptr, 0);
  fail_config("{}: cannot be started: {}: {}", child.command[0], failed, std::strerror(error));
}

/// False: a limit was reached first.
bool collect(const ChildProcess& child, pid_t pid, int fd, std::string& output) {
  constexpr std::int64_t check_every = 20;  // ms
  auto deadline = after(child.start_seconds);
  char buffer[4096];
  while (output.size() <= child.output_bytes) {
    if (child.within_limits && !child.within_limits(pid)) return false;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    pollfd waiting{fd, POLLIN, 0};
    const auto most = child.within_limits ? check_every : std::int64_t{1'000'000};
    if (poll(&waiting, 1, static_cast<int>(std::min<std::int64_t>(left, most))) <= 0) continue;
    const ssize_t n = read(fd, buffer, sizeof buffer);
    if (n == 0) return !child.within_limits || child.within_limits(pid);
    if (n < 0) continue;
    if (output.empty()) deadline = after(child.wall_seconds);
    output.append(buffer, static_cast<std::size_t>(n));
  }
  return false;
}

/// The output has ended; the process itself ends a moment later, or is made to.
int wait_for_end(pid_t pid, bool kill_now) {
  const auto deadline = after(5);
  int status = 0;
  for (;;) {
    if (kill_now || Clock::now() > deadline) kill(-pid, SIGKILL);
    const pid_t ended = waitpid(pid, &status, kill_now ? 0 : WNOHANG);
    if (ended == pid) break;
    if (ended < 0 && errno != EINTR) fail_internal("waitpid: {}", std::strerror(errno));
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

ChildResult run_child(const ChildProcess& child) {
  const Descriptor input = memory_file(child.input), extra = memory_file(child.extra),
                   error = memory_file("");
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) fail_internal("pipe2: {}", std::strerror(errno));
  const Descriptor reading(ends[0]);
  Descriptor writing(ends[1]);
  const pid_t pid = spawn(child, {input.get(), writing.get(), error.get(), extra.get()});
  writing.close();
  ChildResult result;
  const bool ended = collect(child, pid, reading.get(), result.output);
  result.status = wait_for_end(pid, !ended);
  if (!ended) result.status = 128 + SIGKILL;  // even if it ended by itself just before
  result.error = beginning_of(error);
  note_activity();
  return result;
}

}  // namespace rocket
