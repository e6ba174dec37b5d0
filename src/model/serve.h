// Texts that are scored, continued, or both: read in packed forwards, continued in slots that refill.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "model/decoder.h"
#include "model/sampling.h"

namespace rocket {

/// One text. What it asks for is computed in one reading where `prompt` and target stand in one sequence.
struct Request {
  std::vector<TokenId> ids;
  std::int64_t scored_from = -1;    // nll of ids[scored_from ..], at least 1; -1: of none
  std::int64_t prompt = 0;          // the first ids, which the generation continues; none of them is scored
  std::int64_t max_new_tokens = 0;  // 0: no generation
  std::int64_t group = -1;  // requests of one group have the same delta: what some begin with is read once
  std::int64_t text = 0;    // its number where tokens are drawn: see draw_token()
};

struct Answer {
  double nll = 0;                  // mean over the scored ids, natural log
  std::vector<TokenId> generated;  // without the stopping id; lowest id on a tie
  /// Where they are asked for: of each generated id its log-probability under the model, natural log, as it
  /// is without temperature and nucleus.
  std::vector<double> logprobs;
  double seconds = 0;  // its rows' share of the time of all forwards; these add up to that time
};

/// Whether a generation is over with these ids, which stay in it. Called from several threads at once.
using EndsWith = std::function<bool(std::span<const TokenId> generated)>;

struct ServeOptions {
  std::vector<TokenId> stop_ids;
  std::int64_t batch_tokens = 8192;  // bound on the rows of one forward, and on the positions in the cache
                                     // unless the device has memory for more (Decoder::cache_positions)
  EndsWith ends = nullptr;           // beside the stop ids
  Sampling sampling = {};            // how the next token is found; greedy
  bool logprobs = false;             // of generated ids
};

/// How many texts of so many positions should be continued together; 1: any number is as good. Where a step
/// reads the weights from a GPU's memory it takes about as long for many texts as for few, and they end at
/// different lengths, so that fewer and fewer are left.
std::int64_t texts_together(const Decoder& decoder, std::int64_t positions_of_text);

/// Makes the delta of one worker; it serves sequences numbered as the requests. Null = base alone.
using MakeDelta = std::function<std::unique_ptr<LinearDelta>()>;

/// An answer a request; in float32 on the CPU its bits (but for the seconds) are a function of the request,
/// its delta and the sampling alone. A text that reaches the model's max_positions ends there. Requests of
/// one delta should follow each other. The workers of a small model run side by side on the threads. Throws
/// data (65) for a request without ids.
std::vector<Answer> serve(const Decoder& decoder, std::span<const Request> requests,
                          const MakeDelta& make_delta, const ServeOptions& options);

/// The same by one worker with a delta of the caller's.
std::vector<Answer> serve(const Decoder& decoder, std::span<const Request> requests, LinearDelta* delta,
                          const ServeOptions& options);

}  // namespace rocket
