// The adapters of which rivals are made, each read once.
#pragma once

#include <string>
#include <vector>

#include "adapters/lora.h"
#include "model/decoder.h"
#include "moe/mixture.h"
#include "pipeline/session.h"

namespace rocket {

/// In float32, where the base computes.
class RivalSources {
 public:
  /// Both must outlive it.
  RivalSources(const Session& session, const Decoder& decoder) : session_(session), decoder_(decoder) {}

  const RunConfig& config() const { return session_.config; }
  const Decoder& decoder() const { return decoder_; }
  /// The choice of experts.json, as the adapters are in the bank. Throws data (65) for one that is not there
  /// any more.
  const std::vector<LoraAdapter>& experts();
  /// The adapter with the most right answers on the shots.
  LoraAdapter best_single() const;
  /// As many adapters of the bank as there are experts, drawn by the seed; the experts may be among them.
  std::vector<LoraAdapter> drawn_experts() const;
  /// The experts with A and B drawn anew: random_weights of adapters/merges.h.
  std::vector<LoraAdapter> drawn_weights();

 private:
  LoraAdapter of_bank(const std::string& name) const;
  std::vector<LoraAdapter> of_bank(const std::vector<std::string>& names) const;

  const Session& session_;
  const Decoder& decoder_;
  std::vector<LoraAdapter> experts_;
};

}  // namespace rocket
