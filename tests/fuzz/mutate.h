// A small mutator with a fixed seed, so that the fuzz targets run in every build, always on the same inputs.
#pragma once

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace rocket::fuzz {

class Mutator {
 public:
  explicit Mutator(std::vector<std::string> seeds) : seeds_(std::move(seeds)) {}

  /// A seed with one to eight changes.
  std::string next() {
    std::string text = pick(seeds_);
    for (std::size_t changes = 1 + below(8); changes > 0; --changes) change(text);
    return text;
  }

 private:
  /// Uniform enough, and the same with every standard library, which the distributions of <random> are not.
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }
  const std::string& pick(const std::vector<std::string>& from) { return from[below(from.size())]; }

  void change(std::string& text) {
    const std::size_t at = below(text.size() + 1);
    const std::size_t rest = text.size() - at;
    const std::size_t span = rest == 0 ? 0 : 1 + below(std::min<std::size_t>(rest, 24));
    switch (below(7)) {
      case 0:
        if (rest > 0) text[at] = static_cast<char>(random_());
        break;
      case 1:
        if (rest > 0) text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
        break;
      case 2:
        text.erase(at, span);
        break;
      case 3:
        text.insert(at, text.substr(at, span));
        break;
      case 4:
        text.insert(at, pick(kTokens));
        break;
      case 5:
        text.replace(at, span, pick(kTokens));
        break;
      default: {
        const std::string& other = pick(seeds_);
        text.replace(at, span, other.substr(below(other.size() + 1), 64));
      }
    }
  }

  inline static const std::vector<std::string> kTokens = {"0",
                                                          "-1",
                                                          "1.5",
                                                          "1e999",
                                                          "18446744073709551615",
                                                          "9223372036854775808",
                                                          "null",
                                                          "true",
                                                          "\"",
                                                          "\\",
                                                          "[",
                                                          "]",
                                                          "{",
                                                          "}",
                                                          ",",
                                                          ":",
                                                          "\n",
                                                          "\r\n",
                                                          "[]",
                                                          "{}",
                                                          "\"\"",
                                                          "\\u0000",
                                                          "\\ud800",
                                                          "\xff",
                                                          "\xef\xbb\xbf",
                                                          "\xe2\x80\xa8",
                                                          std::string(100, '['),
                                                          std::string(8, '\0')};
  std::vector<std::string> seeds_;
  std::mt19937_64 random_{20240829};
};

}  // namespace rocket::fuzz
