// Rules that a file can hold and no SentencePiece ever wrote.
#include "text/tokenizer_precompiled.h"

#include <gmock/gmock.h>

#include "base/error.h"

namespace rocket {
namespace {

using testing::HasSubstr;

constexpr std::uint32_t kHasLeaf = 1 << 8;

/// A charsmap of one rule: `key` becomes the text at byte `target` of `texts`.
std::string charsmap(std::string_view key, std::uint32_t target, std::string_view texts) {
  constexpr std::uint32_t kOffset = 256;  // of every unit: children lie away from where parents do
  std::vector<std::uint32_t> units(4096, 0xFF);
  std::size_t node = kOffset;
  units[0] = kOffset << 10;
  for (const char& c : key) {
    const auto byte = static_cast<unsigned char>(c);
    node ^= byte;
    units[node] = byte | kOffset << 10;
    if (&c == &key.back()) units[node] |= kHasLeaf;
    node ^= kOffset;
  }
  units[node] = target;
  std::string bytes;
  const auto append = [&](std::uint32_t number) {
    for (int i = 0; i < 4; ++i) bytes += static_cast<char>(number >> 8 * i);
  };
  append(static_cast<std::uint32_t>(4 * units.size()));
  for (const std::uint32_t unit : units) append(unit);
  return bytes += texts;
}

std::string normalized(const std::string& charsmap, std::string_view text) {
  return std::string(PrecompiledCharsmap(charsmap).apply(SourceText::from_bytes(text)).text());
}

std::string refusal(const std::string& charsmap, std::string_view text) {
  try {
    return "not refused, but " + normalized(charsmap, text);
  } catch (const Error& e) {
    return e.what();
  }
}

TEST(PrecompiledCharsmap, PutsTheTextThatTheRulePointsTo) {
  const std::string texts("\u4f60\0x\0", 6);
  EXPECT_EQ(normalized(charsmap("\u00e9", 0, texts), "a\u00e9b"), "a\u4f60b");
  EXPECT_EQ(normalized(charsmap("\u00e9", 4, texts), "a\u00e9b"), "axb");
  EXPECT_EQ(normalized(charsmap("\u00e9", 3, texts), "a\u00e9b"), "ab");
  EXPECT_EQ(normalized(charsmap("\u00e9", 6, texts), "a\u00e9b"), "ab");
}

TEST(PrecompiledCharsmap, RefusesARuleThatPointsIntoACharacterOrBehindTheTexts) {
  const std::string texts("\u4f60\0x\0", 6);
  for (const std::uint32_t target : {1, 2, 7, 70000}) {
    EXPECT_THAT(refusal(charsmap("\u00e9", target, texts), "a\u00e9b"), HasSubstr("precompiled_charsmap: "));
    EXPECT_THAT(refusal(charsmap("a", target, texts), ""), HasSubstr("the text for 'a'")) << "ASCII: at once";
  }
}

}  // namespace
}  // namespace rocket
