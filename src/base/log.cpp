#include "base/log.h"

#include <cstdio>
#include <mutex>
#include <string>

namespace rocket::log {
namespace {

struct Voice {
  std::mutex mutex;
  Level level = Level::normal;
  bool speaks = true;
  std::string status;
};

Voice& voice() {
  static Voice voice;
  return voice;
}

// One fwrite for all: lines of threads, and of ranks that share a terminal, then never mix.
void put(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

constexpr std::string_view kWipeLine = "\r\033[K";

void put_line(Voice& v, std::string_view prefix, std::string_view line) {
  std::string text;
  if (!v.status.empty()) {
    text += kWipeLine;
  }
  text.append(prefix).append(line).append("\n").append(v.status);
  put(text);
}

}  // namespace

void configure(Level level, bool speaks) {
  Voice& v = voice();
  std::lock_guard lock(v.mutex);
  v.level = level;
  v.speaks = speaks;
}

bool shows(Level at_least) {
  Voice& v = voice();
  std::lock_guard lock(v.mutex);
  return v.speaks && v.level >= at_least;
}

void write_line(Level at_least, std::string_view line) {
  Voice& v = voice();
  std::lock_guard lock(v.mutex);
  if (v.speaks && v.level >= at_least) {
    put_line(v, "", line);
  }
}

void write_warning(std::string_view line) {
  Voice& v = voice();
  std::lock_guard lock(v.mutex);
  if (v.speaks) {
    put_line(v, "warning: ", line);
  }
}

void show_status(std::string_view line) {
  Voice& v = voice();
  std::lock_guard lock(v.mutex);
  v.status = line;
  put(std::string(kWipeLine) + v.status);
}

void end_status(bool keep) {
  Voice& v = voice();
  std::lock_guard lock(v.mutex);
  if (!v.status.empty()) {
    put(keep ? "\n" : std::string(kWipeLine));
    v.status.clear();
  }
}

}  // namespace rocket::log
