// What this program is: its version, the commit that it was built from, compiler, flags, libraries,
// processor. `rocket --version` prints it, and the record of every job holds it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace rocket {

/// By Semantic Versioning 2.0.0: "0.1.0" of the tag v0.1.0 without changes; "0.1.0-dev+g474717c0d2f1" before
/// that tag, with ".dirty" behind it where tracked files differ from the commit; "0.1.0-dev" where the commit
/// is not known.
std::string version();

/// "2.11.0", as the build found it.
std::string libtorch_version();

/// {version, commit, dirty, compiler, flags, build_type, cpu, libraries}. `commit` is null where the sources
/// came without one, and `dirty` then, too. `cpu` is that of this machine: {architecture, model, features,
/// kernels}; `kernels` is the instruction set that the kernels use here. `libraries`: name -> version; MPI,
/// NCCL and HDF5 as loaded, the others as built. A library that this build lacks is "none". Needs no
/// MPI_Init, and no LibTorch.
const nlohmann::ordered_json& build_info();

/// The same for people, a line each.
std::string build_text();

/// "0.1.0-dev+g474717c0d2f1, LibTorch 2.11.0": a build in one phrase. `build` is what a job record holds: of
/// build_info(), or the phrase itself, which versions before 0.1 stored.
std::string build_phrase(const nlohmann::json& build);

}  // namespace rocket
