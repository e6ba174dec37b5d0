// The texts of `rocket --version`: a shared library of its own, so that `rocket` itself loads no MPI and no
// HDF5 and is ready for signals at once.
#include <nlohmann/json.hpp>
#include <string>

#include "buildinfo/build_info.h"

extern "C" const char* rocket_version_text(bool as_json) {
  static const std::string text = rocket::build_text(), json = rocket::build_info().dump(1);
  return as_json ? json.c_str() : text.c_str();
}
