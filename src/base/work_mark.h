// What a thread computes at the moment, for whoever counts a device's operators by it. Nobody does in the
// program itself.
#pragma once

#include <cstdint>

namespace rocket {

struct WorkMark {
  const char* phase = "";
  std::int64_t layer = -1;  // -1: outside of layers
};

inline thread_local WorkMark work_mark;

/// Called behind each change of this thread's mark. Set before main(), or not at all.
inline void (*on_work_mark)() = nullptr;

/// While it lives, this thread computes this phase or layer.
class MarkedWork {
 public:
  explicit MarkedWork(const char* phase) : MarkedWork(WorkMark{phase}) {}
  explicit MarkedWork(std::int64_t layer) : MarkedWork(WorkMark{work_mark.phase, layer}) {}
  ~MarkedWork() { set(before_); }
  MarkedWork(const MarkedWork&) = delete;
  MarkedWork& operator=(const MarkedWork&) = delete;

 private:
  explicit MarkedWork(const WorkMark& mark) : before_(work_mark) { set(mark); }
  static void set(const WorkMark& mark) {
    work_mark = mark;
    if (on_work_mark != nullptr) on_work_mark();
  }

  WorkMark before_;
};

/// The job that this process computes, for the same. The text lives on.
inline const char* job_of_process = "";

}  // namespace rocket
