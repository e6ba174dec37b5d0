#include "model/text_embedder.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "backend/threads.h"
#include "formats/model_config.h"

namespace rocket {
namespace {

constexpr std::int64_t kBatchTokens = 16384;

std::vector<std::size_t> order_of_length(const std::vector<std::vector<TokenId>>& sequences) {
  std::vector<std::size_t> order(sequences.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](auto a, auto b) { return sequences[a].size() < sequences[b].size(); });
  return order;
}

/// The parts of `ids`, more than `room` of them, that are read together; `room` is at least 1.
std::vector<std::vector<TokenId>> windows_of(const std::vector<TokenId>& ids, std::int64_t room,
                                             LongTexts long_texts) {
  const auto begin = ids.begin(), end = ids.end();
  if (long_texts == LongTexts::cut) return {{begin, begin + room}};
  if (long_texts == LongTexts::head_tail) {
    std::vector<TokenId> both(begin, begin + (room + 1) / 2);
    both.insert(both.end(), end - room / 2, end);
    return {std::move(both)};
  }
  std::vector<std::vector<TokenId>> windows;
  for (auto at = begin; at != end; at += std::min(room, end - at))
    windows.emplace_back(at, at + std::min(room, end - at));
  return windows;
}

/// Adds up the unit vectors of a text's windows and makes the sum one of length 1.
void add_up(const float* windows, std::size_t count, std::size_t width, float* sum) {
  std::copy_n(windows, width, sum);
  if (count == 1) return;
  for (std::size_t w = 1; w < count; ++w)
    std::transform(sum, sum + width, windows + w * width, sum, std::plus<>());
  const double square = std::inner_product(sum, sum + width, sum, 0.0);
  const auto norm = static_cast<float>(std::max(std::sqrt(square), 1e-12));
  std::transform(sum, sum + width, sum, [norm](float x) { return x / norm; });
}

}  // namespace

EncoderTokenizer::EncoderTokenizer(const std::filesystem::path& folder, std::int64_t max_length,
                                   LongTexts long_texts)
    : EncoderTokenizer(folder, read_encoder_config(folder), max_length, long_texts) {
}

EncoderTokenizer::EncoderTokenizer(const std::filesystem::path& folder, const EncoderConfig& encoder,
                                   std::int64_t max_length, LongTexts long_texts)
    : tokenizer_(load_tokenizer(folder, encoder.lower_case)),
      length_(std::min(encoder.max_tokens, max_length)),
      long_texts_(long_texts) {
}

EncoderTokens EncoderTokenizer::tokens(std::string_view text) const {
  const auto& head = tokenizer_->leading_specials();
  const auto& tail = tokenizer_->trailing_specials();
  const std::int64_t room =
      std::max<std::int64_t>(0, length_ - static_cast<std::int64_t>(head.size() + tail.size()));
  std::vector<TokenId> ids;
  for (const Token& token : tokenizer_->encode(text)) ids.push_back(token.id);
  EncoderTokens read{{}, static_cast<std::int64_t>(ids.size()) > room};
  if (read.is_long && room > 0)
    read.windows = windows_of(ids, room, long_texts_);
  else
    read.windows = {read.is_long ? std::vector<TokenId>() : std::move(ids)};
  for (std::vector<TokenId>& window : read.windows) {
    window.insert(window.begin(), head.begin(), head.end());
    window.insert(window.end(), tail.begin(), tail.end());
  }
  return read;
}

TextEmbedder::TextEmbedder(const std::filesystem::path& folder, const EmbedOptions& options,
                           at::Device device)
    : tokenizer_(folder, options.max_length, options.long_texts),
      encoder_(Encoder::load(folder, read_pooling(folder, options.pooling), options.compute, device,
                             options.truncate_dim)),
      cores_are_free_(options.cores_are_free) {
}

std::vector<EncoderTokens> TextEmbedder::tokens(std::span<const std::string> texts) const {
  std::vector<EncoderTokens> all(texts.size());
  const auto read = [&](std::int64_t i) {
    const auto t = static_cast<std::size_t>(i);
    all[t] = tokenizer_.tokens(texts[t]);
  };
  const auto count = static_cast<std::int64_t>(texts.size());
  if (cores_are_free_) {
    on_threads(count, read);
  } else {
    for (std::int64_t i = 0; i < count; ++i) read(i);
  }
  return all;
}

std::vector<float> TextEmbedder::embed(std::vector<EncoderTokens> texts) const {
  std::vector<std::vector<TokenId>> windows;
  for (EncoderTokens& text : texts)
    std::move(text.windows.begin(), text.windows.end(), std::back_inserter(windows));
  const std::vector<std::size_t> order = order_of_length(windows);
  std::vector<std::vector<TokenId>> sorted;
  sorted.reserve(windows.size());
  for (const std::size_t i : order) sorted.push_back(std::move(windows[i]));
  const at::Tensor computed = encoder_.embed(sorted, kBatchTokens).contiguous();
  const auto width = static_cast<std::size_t>(dimension());
  std::vector<float> vectors(order.size() * width);  // of the windows, in the order of the texts
  for (std::size_t i = 0; i < order.size(); ++i)
    std::copy_n(computed.const_data_ptr<float>() + i * width, width, vectors.data() + order[i] * width);
  if (windows.size() == texts.size()) return vectors;
  std::vector<float> result(texts.size() * width);
  for (std::size_t t = 0, first = 0; t < texts.size(); first += texts[t++].windows.size())
    add_up(vectors.data() + first * width, texts[t].windows.size(), width, result.data() + t * width);
  return result;
}

}  // namespace rocket
