#include "model/generate.h"

namespace rocket {
namespace {

std::vector<Request> requests_of(std::span<const std::vector<TokenId>> prompts,
                                 const GenerateOptions& options, std::int64_t group) {
  std::vector<Request> requests;
  for (const auto& prompt : prompts) {
    requests.push_back({.ids = prompt,
                        .prompt = static_cast<std::int64_t>(prompt.size()),
                        .max_new_tokens = options.max_new_tokens,
                        .group = group});
  }
  return requests;
}

std::vector<std::vector<TokenId>> generated(std::vector<Answer> answers) {
  std::vector<std::vector<TokenId>> ids;
  for (Answer& answer : answers) ids.push_back(std::move(answer.generated));
  return ids;
}

}  // namespace

std::vector<std::vector<TokenId>> generate(const Decoder& decoder,
                                           std::span<const std::vector<TokenId>> prompts, LinearDelta* delta,
                                           const GenerateOptions& options) {
  return generated(serve(decoder, requests_of(prompts, options, -1), delta, options.serving()));
}

std::vector<std::vector<TokenId>> generate(const Decoder& decoder,
                                           std::span<const std::vector<TokenId>> prompts,
                                           const MakeDelta& make_delta, const GenerateOptions& options) {
  return generated(serve(decoder, requests_of(prompts, options, 0), make_delta, options.serving()));
}

}  // namespace rocket
