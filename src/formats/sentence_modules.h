// What sentence-transformers writes beside a transformer: modules.json and the folders that it names.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "formats/model_config.h"

namespace rocket {

struct SentenceModules {
  std::string pooling = "1_Pooling";  // the folder of the Pooling module, as modules.json has it
  std::vector<DenseConfig> dense;
};

/// Transformer, Pooling, any number of Dense, perhaps Normalize; the defaults where there is no modules.json.
/// Throws data (65) naming the module or the setting that rocket cannot compute exactly.
SentenceModules read_sentence_modules(const std::filesystem::path& folder);

}  // namespace rocket
