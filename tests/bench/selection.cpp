// Rocket's half of tests/bench/selection: bench_selection VECTORS SHOTS DIMENSION RETRIEVE THRESHOLD REPEATS
// ANSWER Float32 rows in plain files, read by blocks as a run reads its embeddings. Alone or under mpirun.
// Root prints seconds and each rank's peak memory as JSON and writes what was kept, in walk order, to ANSWER
// as int64.
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "backend/threads.h"
#include "base/files.h"
#include "base/memory.h"
#include "comm/mpi_comm.h"
#include "comm/placement.h"
#include "model/device.h"
#include "selection/corpus_choice.h"

namespace rocket {
namespace {

std::vector<float> read_floats(std::ifstream& file, std::int64_t first, std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  file.seekg(first * static_cast<std::int64_t>(sizeof(float)));
  file.read(reinterpret_cast<char*>(values.data()), count * static_cast<std::int64_t>(sizeof(float)));
  return values;
}

std::int64_t floats_of(const char* path) {
  return static_cast<std::int64_t>(std::filesystem::file_size(path) / sizeof(float));
}

void write_kept(const CuratedSet& set, const char* path) {
  std::ofstream out(path, std::ios::binary);
  for (std::size_t i = 0; i < set.kept.size(); ++i) {
    if (set.kept[i]) out.write(reinterpret_cast<const char*>(&set.retrieved[i]), sizeof(std::int64_t));
  }
}

void run(Comm& comm, char** argument) {
  configure_compute(place_ranks(comm, cores_of_process()).threads);
  std::ifstream vectors(argument[1], std::ios::binary), shot_file(argument[2], std::ios::binary);
  const std::int64_t d = std::stol(argument[3]);
  const EmbeddingSource source{floats_of(argument[1]) / d, d, [&](std::int64_t first, std::int64_t count) {
                                 return read_floats(vectors, first * d, count * d);
                               }};
  const std::vector<float> shots = read_floats(shot_file, 0, floats_of(argument[2]));
  const SelectionOptions options{.retrieve = std::stol(argument[4]), .threshold = std::stod(argument[5])};
  const std::vector<bool> excluded(static_cast<std::size_t>(source.records));
  const std::int64_t before = peak_bytes();
  nlohmann::json seconds = nlohmann::json::array(), peaks = nlohmann::json::array();
  CuratedSet set;
  for (int i = 0; i < std::stoi(argument[6]); ++i) {
    comm.barrier();
    const auto start = std::chrono::steady_clock::now();
    set = choose_records(comm, source, shots, static_cast<std::int64_t>(shots.size()) / d, excluded, options,
                         on_threads);
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  for (const std::string& peak : comm.gather_all(std::to_string(peak_bytes() - before)))
    peaks.push_back(std::stol(peak));
  if (!comm.is_root()) return;
  write_kept(set, argument[7]);
  std::cout << nlohmann::json{{"seconds", seconds},
                              {"peak_bytes", peaks},
                              {"retrieved", set.retrieved.size()}}
            << std::endl;
}

}  // namespace
}  // namespace rocket

int main(int argc, char** argv) {
  if (argc != 8) return 64;
  auto comm = rocket::launched_by_mpi() ? rocket::make_mpi_comm() : rocket::make_local_comm();
  rocket::run(*comm, argv);
  return rocket::leave(std::move(comm), 0, true);
}
