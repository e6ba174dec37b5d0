#include "model/text_embedder.h"

#include <algorithm>
#include <numeric>

#include "formats/model_config.h"

namespace rocket {
namespace {

constexpr std::int64_t kBatchTokens = 16384;

std::vector<std::size_t> order_of_length(const std::vector<std::vector<TokenId>>& texts) {
  std::vector<std::size_t> order(texts.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](auto a, auto b) { return texts[a].size() < texts[b].size(); });
  return order;
}

}  // namespace

TextEmbedder::TextEmbedder(const std::filesystem::path& folder, const EmbedOptions& options,
                           at::Device device)
    : tokenizer_(load_tokenizer(folder)),
      encoder_(Encoder::load(folder, read_pooling(folder, options.pooling), options.compute, device)),
      max_length_(std::min(encoder_.config().max_tokens, options.max_length)) {
}

std::vector<TokenId> TextEmbedder::tokens(std::string_view text) const {
  const auto& head = tokenizer_->leading_specials();
  const auto& tail = tokenizer_->trailing_specials();
  const auto specials = static_cast<std::int64_t>(head.size() + tail.size());
  const std::int64_t room = std::max<std::int64_t>(0, max_length_ - specials);
  std::vector<TokenId> ids = head;
  for (const Token& token : tokenizer_->encode(text)) {
    if (static_cast<std::int64_t>(ids.size() - head.size()) == room) break;
    ids.push_back(token.id);
  }
  ids.insert(ids.end(), tail.begin(), tail.end());
  return ids;
}

std::vector<float> TextEmbedder::embed(std::vector<std::vector<TokenId>> texts) const {
  const std::vector<std::size_t> order = order_of_length(texts);
  std::vector<std::vector<TokenId>> sorted;
  sorted.reserve(texts.size());
  for (const std::size_t i : order) sorted.push_back(std::move(texts[i]));
  const at::Tensor vectors = encoder_.embed(sorted, kBatchTokens).contiguous();
  const auto width = static_cast<std::size_t>(dimension());
  std::vector<float> result(order.size() * width);
  for (std::size_t i = 0; i < order.size(); ++i)
    std::copy_n(vectors.const_data_ptr<float>() + i * width, width, result.data() + order[i] * width);
  return result;
}

}  // namespace rocket
