// What SciPy, statsmodels and NumPy say: made by tests/parity/make_statistics_reference.py.
#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace rocket {

inline nlohmann::json reference(const std::string& part) {
  std::ifstream file("tests/data/statistics/reference.json");
  return nlohmann::json::parse(file).at(part);
}

}  // namespace rocket
