#include "device/host_access.h"

#include <execinfo.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string_view>

namespace rocket::emulated {
namespace {

const char* first = nullptr;
std::size_t size = 0;
struct sigaction before;

void say(std::string_view text) {
  [[maybe_unused]] const auto written = write(STDERR_FILENO, text.data(), text.size());
}

void on_fault(int signal, siginfo_t* info, void* context) {
  const auto* address = static_cast<const char*>(info->si_addr);
  if (address < first || address >= first + size) {
    sigaction(signal, &before, nullptr);  // the access is tried again and meets whoever was there before
    if ((before.sa_flags & SA_SIGINFO) != 0) before.sa_sigaction(signal, info, context);
    return;
  }
  say("emulated device: the host touches device memory. Copy the tensor to the CPU first, or compute with an "
      "operator. "
      "The stack:\n");
  void* frames[64];
  backtrace_symbols_fd(frames, backtrace(frames, 64), STDERR_FILENO);
  std::abort();
}

}  // namespace

void report_host_access(const void* begin, std::size_t bytes) {
  first = static_cast<const char*>(begin);
  size = bytes;
  void* frame[1];
  backtrace(frame, 1);  // its first call loads a library, which a signal handler must not
  struct sigaction action = {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGSEGV, &action, &before);
}

}  // namespace rocket::emulated
