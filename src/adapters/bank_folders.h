// Which folders a bank consists of, and what the adapters in them are called.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace rocket {

struct BankEntry {
  std::string name;
  std::filesystem::path folder;
};

/// The adapters of a bank, by name (bytes). Each path is an adapter (it holds adapter_config.json) or a
/// folder of adapters, whose plain files and dot folders are skipped. A repository of the Hugging Face cache
/// stands for its current snapshot. The name of an adapter is that of its folder or repository; where several
/// folders have one name, as many parents are put in front of it as tell them apart: sql--checkpoint-500,
/// chat--checkpoint-500. Throws data (65) for a folder that is no adapter, saying what was found in it, for a
/// link to nothing, for an adapter listed twice and for an empty bank; config (78) for a path that is not
/// there or an excluded name that is not.
std::vector<BankEntry> list_bank(const std::vector<std::filesystem::path>& folders,
                                 const std::vector<std::string>& exclude);

/// The entry of this name; nullptr if there is none.
const BankEntry* find_entry(const std::vector<BankEntry>& entries, const std::string& name);

/// The lines that tell all that is wrong with adapters, and how to go on without them.
[[noreturn]] void refuse_adapters(const std::vector<std::string>& problems,
                                  const std::vector<std::string>& names, const std::string& advice = "");

}  // namespace rocket
