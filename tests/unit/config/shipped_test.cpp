// Every configuration that comes with rocket loads, its paths included where they are in the repository.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "config/run_config.h"
#include "config/sweep.h"

namespace rocket {
namespace {

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".yaml") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  EXPECT_FALSE(files.empty()) << folder;
  return files;
}

TEST(Shipped, LabConfigurationsLoadWithAllTheirInputs) {
  std::set<std::string> runs;
  for (const fs::path& file : files_in("configs")) {
    if (file.filename() == "defaults.yaml") continue;
    SCOPED_TRACE(file.string());
    const RunConfig config = load_config(file, {}, all_inputs);
    EXPECT_TRUE(runs.insert(config.run).second) << "two configurations write to " << config.run;
    EXPECT_EQ(file.stem().string(), "lab-" + config.task.name);
  }
  EXPECT_EQ(runs.size(), 6u);
}

TEST(Shipped, PaperConfigurationsLoad) {
  for (const char* name : {"LLAMA2_7B", "LLAMA2_BANK", "MISTRAL_7B", "MISTRAL_BANK", "CORPUS", "ENCODER",
                           "TASK", "TASK_FOLDER"}) {
    ::setenv(name, "somewhere", 1);
  }
  ::setenv("TASK_ANSWER", "number", 1);
  for (const fs::path& file : files_in("configs/paper")) {
    SCOPED_TRACE(file.string());
    const RunConfig config = load_config(file, {});
    EXPECT_EQ(config.base.path, "somewhere");
    EXPECT_EQ(config.corpus.records, std::vector<std::string>{"somewhere/*.jsonl"});
  }
}

TEST(Shipped, TaskFilesLoadUnderTheirNames) {
  for (const fs::path& file : files_in("configs/tasks")) {
    SCOPED_TRACE(file.string());
    const std::string plain = testing::TempDir() + "rocket_shipped_task.yaml";
    std::ofstream(plain) << "run: r\ntask: {use: " << file.string() << "}\n";
    const RunConfig config = load_config(plain, {});
    EXPECT_TRUE(config.task.prompt && config.task.gold);
    EXPECT_EQ(config.task.name, file.stem().string());
  }
}

TEST(Shipped, SweepsLoadAtEveryPoint) {
  for (const fs::path& file : files_in("configs/sweeps")) {
    SCOPED_TRACE(file.string());
    const Sweep sweep = load_sweep(file);
    EXPECT_EQ("runs/" + file.stem().string(), sweep.runs);
    for (const SweepPoint& point : sweep.points) load_point(sweep, point, {}, all_inputs);
  }
}

}  // namespace
}  // namespace rocket
