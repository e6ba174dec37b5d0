// The `rocket` program: reads the command line, then hands it to the engine, which brings LibTorch along.
#include <dlfcn.h>

#include <cstdio>

#include "base/error.h"
#include "base/stop.h"
#include "command_line.h"

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
  return execute(&*line.command);
}
