// The `rocket` program: reads the command line, then hands it to the engine, which brings LibTorch along.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "base/error.h"
#include "base/stop.h"
#include "command_line.h"

namespace {

/// Ends the process without a word to the libraries: LibTorch takes its tables of operators apart on the way
/// out, which is a third of the time of a short command. All files are closed and all ranks have left by now.
[[noreturn]] void end(int code) {
  std::fflush(nullptr);
#ifdef ROCKET_ENDS_AT_ONCE
  // A tool that was loaded to watch the process says on the way out what it has seen.
  const bool watched = std::getenv("LD_PRELOAD") || std::getenv("CUDA_INJECTION64_PATH");
  if (!watched) _exit(code);
#endif
  std::exit(code);
}

}  // namespace

int main(int argc, char** argv) {
  rocket::hold_stop_signals();  // until the engine is there
  rocket::ParsedLine line = rocket::parse_command_line(argc, argv);
  if (!line.command) return line.exit_code;
  line.command->cores = rocket::cores_of_process();

  void* engine = dlopen("librocket_engine.so", RTLD_NOW | RTLD_LOCAL);
  if (!engine) {
    std::fprintf(stderr, "rocket: %s\n", dlerror());
    return static_cast<int>(rocket::ExitCode::internal);
  }
  const auto execute = reinterpret_cast<decltype(&rocket_execute)>(dlsym(engine, "rocket_execute"));
  end(execute(&*line.command));
}
