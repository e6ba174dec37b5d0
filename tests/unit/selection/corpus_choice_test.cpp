#include "selection/corpus_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "base/error.h"
#include "base/random.h"

namespace rocket {
namespace {

using nlohmann::json;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

/// Unit vectors of integer rows.
std::vector<float> unit(const json& rows) {
  std::vector<float> result;
  for (const json& row : rows) {
    const auto numbers = row.get<std::vector<double>>();
    const double norm = std::sqrt(std::inner_product(numbers.begin(), numbers.end(), numbers.begin(), 0.0));
    for (double x : numbers) {
      result.push_back(static_cast<float>(x / norm));
    }
  }
  return result;
}

struct Corpus {
  std::vector<float> rows, shots;
  std::int64_t dimension = 0;
  std::vector<bool> excluded;

  explicit Corpus(const json& data)
      : rows(unit(data["rows"])),
        shots(unit(data["shots"])),
        dimension(static_cast<std::int64_t>(data["shots"][0].size())),
        excluded(data["rows"].size(), false) {
    for (std::size_t record : data["excluded"]) {
      excluded[record] = true;
    }
  }

  EmbeddingSource source(std::int64_t block = 4096) const {
    const auto read = [this, block](std::int64_t first, std::int64_t count) {
      EXPECT_LE(count, block);
      return std::vector<float>(rows.begin() + first * dimension, rows.begin() + (first + count) * dimension);
    };
    return {static_cast<std::int64_t>(excluded.size()), dimension, read, block};
  }

  CuratedSet choose(const SelectionOptions& options, std::int64_t block = 4096) const {
    return choose(*make_local_comm(), options, block);
  }

  CuratedSet choose(Comm& comm, const SelectionOptions& options, std::int64_t block) const {
    return choose_records(comm, source(block), shots, static_cast<std::int64_t>(shots.size()) / dimension,
                          excluded, options);
  }
};

SelectionPolicy policy_of(const std::string& name) {
  static const std::map<std::string, SelectionPolicy> policies = {
      {"greedy", SelectionPolicy::greedy},
      {"released_code", SelectionPolicy::released_code},
      {"repr_filter", SelectionPolicy::repr_filter},
      {"similarity_only", SelectionPolicy::similarity_only},
      {"random", SelectionPolicy::random},
      {"convex", SelectionPolicy::convex},
      {"kde", SelectionPolicy::kde}};
  return policies.at(name);
}

SelectionOptions options_of(const json& c) {
  return {.retrieve = c["retrieve"],
          .threshold = c["threshold"],
          .similarity = c["similarity"] == "max" ? ShotSimilarity::max : ShotSimilarity::mean,
          .policy = policy_of(c["policy"]),
          .gamma = c["gamma"],
          .seed = c["seed"]};
}

json reference() {
  std::ifstream file("tests/data/selection/corpus.json");
  return json::parse(file);
}

const Corpus& crowded() {
  static const Corpus corpus(reference()[0]);
  return corpus;
}

ExitCode code_of(const Corpus& corpus, const SelectionOptions& options, std::string* message = nullptr) {
  try {
    corpus.choose(options);
  } catch (const Error& e) {
    if (message) {
      *message = e.what();
    }
    return e.code();
  }
  return ExitCode::done;
}

TEST(CorpusChoice, AgreesWithBruteForce) {
  std::size_t checked = 0;
  for (const json& data : reference()) {
    const Corpus corpus(data);
    for (const json& c : data["cases"]) {
      SCOPED_TRACE(c["policy"].get<std::string>() + " " + std::to_string(checked++));
      const CuratedSet set = corpus.choose(options_of(c));
      const json& expected = c["expected"];
      ASSERT_EQ(json(set.retrieved), expected["retrieved"]);
      ASSERT_EQ(json(set.kept), expected["kept"]);
      ASSERT_EQ(json(set.dropped_by), expected["dropped_by"]);
      ASSERT_EQ(set.similarity.size(), set.retrieved.size());
      for (std::size_t i = 0; i < set.similarity.size(); ++i) {
        ASSERT_NEAR(set.similarity[i], expected["similarity"][i].get<double>(), 1.5e-6);
      }
    }
  }
  EXPECT_EQ(checked, 354u);
}

TEST(CorpusChoice, BlocksChangeNothing) {
  const json data = reference()[0];
  for (const json& c : data["cases"]) {
    const SelectionOptions options = options_of(c);
    const CuratedSet whole = crowded().choose(options);
    const CuratedSet parts = crowded().choose(options, 7);
    EXPECT_EQ(parts.retrieved, whole.retrieved);
    EXPECT_EQ(parts.similarity, whole.similarity);
    EXPECT_EQ(parts.kept, whole.kept);
    EXPECT_EQ(parts.dropped_by, whole.dropped_by);
  }
}

TEST(CorpusChoice, RanksChangeNothing) {
  const json data = reference()[0];
  for (const json& c : data["cases"]) {
    const SelectionOptions options = options_of(c);
    const CuratedSet alone = crowded().choose(options);
    for (const int ranks : {2, 3, 6}) {
      run_on_threads(ranks, [&](Comm& comm) {
        const CuratedSet set = crowded().choose(comm, options, 7);
        EXPECT_EQ(set.retrieved, alone.retrieved);
        EXPECT_EQ(set.similarity, alone.similarity);
        EXPECT_EQ(set.kept, alone.kept);
        EXPECT_EQ(set.dropped_by, alone.dropped_by);
      });
    }
  }
}

TEST(CorpusChoice, ExcludedRecordsAreNeverRetrieved) {
  Corpus corpus = crowded();
  for (std::size_t r = 0; r < corpus.excluded.size(); ++r) {
    corpus.excluded[r] = r % 3 != 0;
  }
  for (const char* policy :
       {"greedy", "released_code", "repr_filter", "similarity_only", "random", "convex", "kde"}) {
    const CuratedSet set = corpus.choose({.policy = policy_of(policy)});
    EXPECT_EQ(set.retrieved.size(), 40u) << policy;
    for (std::int64_t record : set.retrieved) {
      EXPECT_EQ(record % 3, 0) << policy;
    }
  }
}

TEST(CorpusChoice, AnEmptyCorpusIsAnErrorUnlessNothingIsWanted) {
  const json empty = {{"rows", json::array()}, {"shots", {{1, 0}}}, {"excluded", json::array()}};
  EXPECT_EQ(code_of(Corpus(empty), {}), ExitCode::data);
  EXPECT_EQ(code_of(Corpus(empty), {.policy = SelectionPolicy::none}), ExitCode::done);
  const json removed = {{"rows", {{1, 0}, {1, 0}}}, {"shots", {{1, 0}}}, {"excluded", {0, 1}}};
  std::string message;
  EXPECT_EQ(code_of(Corpus(removed), {}, &message), ExitCode::data);
  EXPECT_THAT(message, HasSubstr("2 records, of which 2 equal a shot"));
}

TEST(CorpusChoice, NoneRetrievesNothing) {
  const CuratedSet set = crowded().choose({.policy = SelectionPolicy::none});
  EXPECT_TRUE(set.retrieved.empty() && set.kept.empty() && set.dropped_by.empty() && set.similarity.empty());
}

TEST(CorpusChoice, AThresholdOfOneKeepsExactDuplicates) {
  const json data = {
      {"rows", {{3, 4, 5}, {3, 4, 5}, {3, 4, 5}}}, {"shots", {{3, 4, 5}}}, {"excluded", json::array()}};
  const CuratedSet set = Corpus(data).choose({.threshold = 1.0});
  EXPECT_THAT(set.kept, Each(1));
  EXPECT_THAT(set.retrieved, ElementsAre(0, 1, 2));
  for (float similarity : set.similarity) {
    EXPECT_LE(similarity, 1.0f);
  }
}

TEST(CorpusChoice, ReleasedCodeDropsByOneThatWasDroppedItself) {
  // A chain: each near the next only.
  const json data = {
      {"rows", {{100, 0}, {90, 40}, {60, 80}}}, {"shots", {{100, 0}}}, {"excluded", json::array()}};
  const CuratedSet greedy = Corpus(data).choose({.threshold = 0.8});
  EXPECT_THAT(greedy.dropped_by, ElementsAre(-1, 0, -1));
  const CuratedSet released =
      Corpus(data).choose({.threshold = 0.8, .policy = SelectionPolicy::released_code});
  EXPECT_THAT(released.dropped_by, ElementsAre(-1, 0, 1));
  EXPECT_THAT(released.kept, ElementsAre(1, 0, 0));
}

TEST(CorpusChoice, DrawsDependOnTheSeedAndTheRecordOnly) {
  for (const auto policy : {SelectionPolicy::random, SelectionPolicy::kde}) {
    const auto draw = [&](const Corpus& corpus, std::uint64_t seed) {
      const CuratedSet set = corpus.choose({.retrieve = 20, .policy = policy, .seed = seed});
      return std::set<std::int64_t>(set.retrieved.begin(), set.retrieved.end());
    };
    EXPECT_EQ(draw(crowded(), 1), draw(crowded(), 1));
    EXPECT_NE(draw(crowded(), 1), draw(crowded(), 2));
    // Taking a record away that was not drawn changes nothing.
    Corpus less = crowded();
    const auto drawn = draw(less, 1);
    for (std::int64_t r = 0; r < 120; ++r) {
      if (!drawn.contains(r)) {
        less.excluded[static_cast<std::size_t>(r)] = true;
        break;
      }
    }
    EXPECT_EQ(draw(less, 1), drawn);
  }
}

TEST(CorpusChoice, KernelDensityDrawsInProportionToItsWeights) {
  // Two records at squared distances 0 and 2 - 2 * 0.6 = 0.8 from the shot.
  const json data = {{"rows", {{1, 0}, {3, 4}}}, {"shots", {{1, 0}}}, {"excluded", json::array()}};
  const Corpus corpus(data);
  const double odds = std::exp(-2.0 * 0.8);
  int second = 0;
  const int draws = 20'000;
  for (int seed = 0; seed < draws; ++seed) {
    second +=
        corpus
            .choose({.retrieve = 1, .policy = SelectionPolicy::kde, .seed = static_cast<std::uint64_t>(seed)})
            .retrieved[0] == 1;
  }
  const double expected = odds / (1 + odds);
  EXPECT_NEAR(second / static_cast<double>(draws), expected,
              4 * std::sqrt(expected * (1 - expected) / draws));
}

TEST(CorpusChoice, RefusesWhatMakesNoSense) {
  EXPECT_EQ(code_of(crowded(), {.retrieve = 0}), ExitCode::config);
  EXPECT_EQ(code_of(crowded(), {.threshold = -1.0}), ExitCode::config);
  EXPECT_EQ(code_of(crowded(), {.threshold = 1.5}), ExitCode::config);
  EXPECT_EQ(code_of(crowded(), {.threshold = std::nan("")}), ExitCode::config);
  EXPECT_EQ(code_of(crowded(), {.gamma = -1}), ExitCode::config);
}

TEST(CorpusChoice, AVectorThatIsNotFiniteIsNamed) {
  Corpus corpus = crowded();
  corpus.rows[static_cast<std::size_t>(33 * corpus.dimension + 2)] = std::numeric_limits<float>::quiet_NaN();
  corpus.excluded[33] = false;
  std::string message;
  EXPECT_EQ(code_of(corpus, {}, &message), ExitCode::data);
  EXPECT_THAT(message, HasSubstr("corpus record 33: its embedding is not finite"));
  corpus.excluded[33] = true;
  EXPECT_EQ(code_of(corpus, {}), ExitCode::done);
  corpus.shots[1] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(code_of(corpus, {}), ExitCode::data);
}

TEST(ShotSimilarity, ARowsValueDoesNotDependOnItsCompany) {
  const std::int64_t rows = 40, shots = 7;
  for (const std::int64_t d : {1, 15, 16, 17, 67}) {
    std::vector<float> numbers(static_cast<std::size_t>((rows + shots) * d));
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      numbers[i] = static_cast<float>(uniform(3, 0, i)) - 0.5f;
    }
    const auto at = [&](std::int64_t row, std::int64_t count) {
      return std::span<const float>(numbers).subspan(static_cast<std::size_t>(row * d),
                                                     static_cast<std::size_t>(count * d));
    };
    for (const auto kind : {ShotSimilarity::max, ShotSimilarity::mean}) {
      const auto all = shot_similarity(at(shots, rows), rows, at(0, shots), shots, kind);
      for (std::int64_t r = 0; r < rows; ++r) {
        ASSERT_EQ(shot_similarity(at(shots + r, 1), 1, at(0, shots), shots, kind)[0],
                  all[static_cast<std::size_t>(r)]);
      }
    }
    // The company of a shot changes nothing either.
    const auto all = shot_similarity(at(shots, rows), rows, at(0, shots), shots);
    std::vector<float> best(static_cast<std::size_t>(rows), -1e9f);
    for (std::int64_t s = 0; s < shots; ++s) {
      const auto one = shot_similarity(at(shots, rows), rows, at(s, 1), 1);
      for (std::size_t r = 0; r < best.size(); ++r) {
        best[r] = std::max(best[r], one[r]);
      }
    }
    EXPECT_EQ(best, all);
  }
}

}  // namespace
}  // namespace rocket
