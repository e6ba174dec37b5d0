// The tables of docs/interface.md section 5, made from what a run directory holds.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <variant>
#include <vector>

#include "pipeline/run_directory.h"
#include "pipeline/table.h"

namespace rocket {

/// A table, or one object.
using Shown = std::variant<Table, nlohmann::ordered_json>;

/// "scores", "shots", "similarity", "experts", "selection", "training", "evaluation", "comparison", "items",
/// "jobs", "adapter_training".
const std::vector<std::string>& run_table_names();

/// Throws usage (64) for an unknown name, data (65) naming the job that must run first where its file is
/// absent.
Shown run_table(const RunDirectory& run, const std::string& name);

/// A few lines that say where the run stands.
std::string run_summary(const RunDirectory& run);

std::string render(const Shown& shown, TableFormat format);

/// How a row of the result table is called for people: "best_single (sells)".
std::string system_label(const RunDirectory& run, const std::string& system);

}  // namespace rocket
