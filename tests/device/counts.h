// Counters of what the devices do, by job, phase and layer.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>

namespace rocket::emulated {

/// What a launch reads and writes, and its multiplications and additions in products and attention.
struct Work {
  std::int64_t bytes = 0, flops = 0;
};

/// How many, by operator, bytes and flops of each.
using Launches = std::map<std::tuple<std::string, std::int64_t, std::int64_t>, std::int64_t>;

struct Counts {
  std::int64_t passes = 0;     // how often the phase or the layer began
  std::int64_t operators = 0;  // calls of the device's operators, those included that make views or allocate
  std::int64_t launches = 0;   // those that compute or move: a GPU starts a kernel, or more. A graph is one
  std::int64_t waits = 0;      // the host waits for the device
  std::int64_t copies_to_device = 0, bytes_to_device = 0;
  std::int64_t copies_to_host = 0, bytes_to_host = 0;
  std::int64_t peak_bytes = 0;                   // the most that was allocated on one device
  std::map<std::string, std::int64_t> launched;  // launches by operator
  Launches work;                                 // with those within graphs
};

struct Place {
  std::string job, phase;  // phase: as base/work_mark.h has it, "backward" in the backward pass
  std::int64_t layer = -1;
  bool operator<(const Place& other) const {
    return std::tie(job, phase, layer) < std::tie(other.job, other.phase, other.layer);
  }
};

void count_operator();
void count_launch(const std::string& name, const Work& work = {});
/// A graph is started, in which these are.
void count_graph(const Launches& launches);
void count_wait();
void count_copy_to_device(std::int64_t bytes);
void count_copy_to_host(std::int64_t bytes);
void count_allocated(std::int64_t allocated);

std::map<Place, Counts> counted();
/// All places together.
Counts counted_in_all();
void forget_counts();

/// A list of rows, each with its place and its counts.
std::string counts_as_json();
/// ROCKET_DEVICE_COUNTS=FILE: at the process's end counts_as_json() goes there; of rank N of several to
/// FILE.rank-N.
void write_counts_at_exit();

}  // namespace rocket::emulated
