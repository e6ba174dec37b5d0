#include "evaluation/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
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

/// posix_spawn rather than fork: this process has threads, a device context and MPI's memory.
pid_t spawn(const ChildProcess& child, std::span<const int> descriptors) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  for (std::size_t to = 0; to < descriptors.size(); ++to) {
    posix_spawn_file_actions_adddup2(&actions, descriptors[to], static_cast<int>(to));
  }
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  auto arguments = pointers(child.command);
  auto environment = pointers(child.environment);
  pid_t pid = 0;
  const int error = posix_spawn(&pid, child.command[0].c_str(), &actions, &attributes, arguments.data(),
                                environment.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) fail_config("{}: cannot be started: {}", child.command[0], std::strerror(error));
  return pid;
}

/// False: a limit was reached first.
bool collect(const ChildProcess& child, int fd, std::string& output) {
  auto deadline = after(child.start_seconds);
  char buffer[4096];
  while (output.size() <= child.output_bytes) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd waiting{fd, POLLIN, 0};
    const int ready = poll(&waiting, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return false;
    const ssize_t n = read(fd, buffer, sizeof buffer);
    if (n == 0) return true;
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
  const int descriptors[] = {input.get(), writing.get(), error.get(), extra.get()};
  const pid_t pid = spawn(child, descriptors);
  writing.close();
  ChildResult result;
  const bool ended = collect(child, reading.get(), result.output);
  result.status = wait_for_end(pid, !ended);
  result.error = beginning_of(error);
  note_activity();
  return result;
}

}  // namespace rocket
