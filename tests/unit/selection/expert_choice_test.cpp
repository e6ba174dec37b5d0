#include "selection/expert_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace rocket {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

json cases() {
  std::ifstream file("tests/data/selection/experts.json");
  return json::parse(file);
}

template <class T>
std::vector<T> flat(const json& rows) {
  std::vector<T> result;
  for (const json& row : rows) {
    for (const json& cell : row) {
      result.push_back(cell.get<T>());
    }
  }
  return result;
}

BankScores scores_of(const json& c) {
  BankScores scores;
  scores.adapters = {"(base)"};
  for (const json& name : c["adapters"]) {
    scores.adapters.push_back(name);
  }
  scores.shots = c["shots"];
  // The base would be the best of all; it must never be chosen.
  scores.nll.assign(static_cast<std::size_t>(scores.shots), 0.0);
  scores.correct.assign(static_cast<std::size_t>(scores.shots), 1);
  for (double nll : flat<double>(c["nll"])) {
    scores.nll.push_back(nll);
  }
  for (int correct : flat<int>(c["correct"])) {
    scores.correct.push_back(static_cast<std::uint8_t>(correct));
  }
  const std::size_t bank = scores.adapters.size() - 1;
  scores.similarity.assign(bank * bank, 1.0);
  std::size_t next = 0;
  for (std::size_t i = 0; i < bank; ++i) {
    for (std::size_t j = i + 1; j < bank; ++j) {
      scores.similarity[i * bank + j] = scores.similarity[j * bank + i] = c["similarity"][next++];
    }
  }
  return scores;
}

ExpertOptions options_of(const json& c) {
  ExpertOptions options;
  options.candidates = c["candidates"];
  options.count = c["count"];
  options.names = c["names"].get<std::vector<std::string>>();
  options.seed = c["seed"];
  const auto signals = c["signals"].get<std::vector<std::string>>();
  const auto on = [&](const char* name) {
    return std::find(signals.begin(), signals.end(), name) != signals.end();
  };
  options.signals = {on("perplexity"), on("accuracy"), on("diversity")};
  return options;
}

template <class T>
json or_null(const std::optional<T>& value) {
  return value ? json(*value) : json();
}

/// Five adapters on two shots, all alike: a start for the tests that change one thing.
BankScores plain_scores() {
  BankScores scores;
  scores.adapters = {"(base)", "a", "b", "c", "d", "e"};
  scores.shots = 2;
  scores.nll.assign(12, 0.5);
  scores.correct.assign(12, 1);
  scores.similarity.assign(25, 0.25);
  return scores;
}

ExitCode code_of(const BankScores& scores, const ExpertOptions& options, std::string* message = nullptr) {
  try {
    choose_experts(scores, options);
  } catch (const Error& e) {
    if (message) {
      *message = e.what();
    }
    return e.code();
  }
  return ExitCode::done;
}

TEST(ExpertChoice, AgreesWithBruteForce) {
  const json all = cases();
  ASSERT_EQ(all.size(), 400u);
  for (std::size_t i = 0; i < all.size(); ++i) {
    SCOPED_TRACE(i);
    const json& expected = all[i]["expected"];
    const ExpertChoice choice = choose_experts(scores_of(all[i]), options_of(all[i]));
    ASSERT_EQ(json(choice.experts), expected["experts"]);
    ASSERT_EQ(json(choice.candidates), expected["candidates"]);
    EXPECT_EQ(choice.tuples, expected["tuples"].get<std::int64_t>());
    EXPECT_EQ(or_null(choice.objective), expected["objective"]);
    EXPECT_EQ(or_null(choice.mean_similarity), expected["mean_similarity"]);
    EXPECT_EQ(best_single(scores_of(all[i])), expected["best_single"]);
  }
}

TEST(ExpertChoice, StandingsAgreeWithBruteForce) {
  for (const json& c : cases()) {
    const json& expected = c["expected"];
    const ExpertChoice choice = choose_experts(scores_of(c), options_of(c));
    ASSERT_EQ(choice.standings.size(), c["adapters"].size() + 1);
    EXPECT_EQ(choice.standings[0].adapter, "(base)");
    EXPECT_FALSE(choice.standings[0].place || choice.standings[0].place_perplexity ||
                 choice.standings[0].expert);
    for (std::size_t i = 0; i < c["adapters"].size(); ++i) {
      const AdapterStanding& row = choice.standings[i + 1];
      EXPECT_EQ(json(row.adapter), c["adapters"][i]);
      EXPECT_EQ(*row.place_perplexity, expected["places"][i][0].get<double>());
      EXPECT_EQ(*row.place_accuracy, expected["places"][i][1].get<double>());
      EXPECT_EQ(*row.place, *row.place_perplexity + *row.place_accuracy);
      ASSERT_EQ(row.perplexity_se.has_value(), !expected["perplexity_se"][i].is_null());
      if (row.perplexity_se) {
        EXPECT_NEAR(*row.perplexity_se, expected["perplexity_se"][i].get<double>(), 1e-12 * row.perplexity);
      }
      EXPECT_NEAR(row.accuracy_se, expected["accuracy_se"][i].get<double>(), 1e-15);
    }
  }
}

TEST(ExpertChoice, MarksCandidatesAndExperts) {
  BankScores scores = plain_scores();
  scores.nll[2 * 4] = 0.1;  // d
  ExpertOptions options{.candidates = 3, .count = 2};
  const ExpertChoice choice = choose_experts(scores, options);
  EXPECT_THAT(choice.candidates, ElementsAre("d", "a", "b"));
  EXPECT_THAT(choice.experts, ElementsAre("d", "a"));
  std::string marks;
  for (const AdapterStanding& row : choice.standings) {
    marks += row.expert ? 'e' : row.candidate ? 'c' : '-';
  }
  EXPECT_EQ(marks, "-ec-e-");
}

TEST(ExpertChoice, AnInfinitePerplexityComesLast) {
  BankScores scores = plain_scores();
  scores.nll[2] = 1e6;  // a
  scores.nll[4] = 2e6;  // b
  const ExpertChoice choice = choose_experts(scores, {.candidates = 5, .count = 2});
  EXPECT_EQ(choice.standings[1].perplexity, std::numeric_limits<double>::infinity());
  EXPECT_EQ(choice.standings[1].place_perplexity, 4.5);
  EXPECT_EQ(choice.standings[2].place_perplexity, 4.5);
  EXPECT_FALSE(choice.standings[1].perplexity_se);
  EXPECT_THAT(choice.experts, ElementsAre("c", "d"));
}

TEST(ExpertChoice, RoundingNoiseIsNoPlace) {
  BankScores scores = plain_scores();
  scores.nll[2] += 1e-14;  // a
  scores.nll[4] -= 1e-14;  // b
  for (const AdapterStanding& row : choose_experts(scores, {.candidates = 2, .count = 1}).standings) {
    EXPECT_EQ(row.place_perplexity.value_or(3), 3) << row.adapter;
  }
}

TEST(ExpertChoice, WhatIsNotFiniteIsAnErrorThatNamesAdapterAndShot) {
  const double infinite = std::numeric_limits<double>::infinity();
  BankScores scores = plain_scores();
  std::string message;
  for (const auto& [nll, word] : {std::pair(std::nan(""), "nan"), {infinite, "inf"}, {-infinite, "-inf"}}) {
    scores.nll[2 * 3 + 1] = nll;
    EXPECT_EQ(code_of(scores, {.candidates = 2, .count = 1}, &message), ExitCode::data);
    EXPECT_THAT(message, HasSubstr(std::string("adapter 'c': the nll of shot 1 is ") + word));
  }
  scores = plain_scores();
  scores.similarity[1] = std::nan("");
  EXPECT_EQ(code_of(scores, {.candidates = 2, .count = 1}, &message), ExitCode::data);
  EXPECT_THAT(message, HasSubstr("similarity of adapters 'a' and 'b'"));
}

TEST(ExpertChoice, RefusesImpossibleNumbers) {
  const BankScores scores = plain_scores();
  EXPECT_EQ(code_of(scores, {.candidates = 2, .count = 3}), ExitCode::config);
  EXPECT_EQ(code_of(scores, {.candidates = 2, .count = 0}), ExitCode::config);
  EXPECT_EQ(code_of(scores, {.candidates = 8, .count = 6}), ExitCode::data);
  EXPECT_EQ(code_of(scores, {.candidates = 8, .count = 5}), ExitCode::done);
  EXPECT_EQ(code_of(scores, {.names = {"a", "nobody"}}), ExitCode::data);
  EXPECT_EQ(code_of(scores, {.names = {"(base)"}}), ExitCode::data);
  EXPECT_EQ(code_of(scores, {.names = {"a", "a"}}), ExitCode::config);
  // Names win: the counts do not matter then.
  EXPECT_EQ(code_of(scores, {.candidates = 1, .count = 3, .names = {"a", "b"}}), ExitCode::done);
}

TEST(ExpertChoice, ABankSmallerThanTheCandidatesIsANote) {
  const ExpertChoice choice = choose_experts(plain_scores(), {.candidates = 8, .count = 2});
  EXPECT_EQ(choice.candidates.size(), 5u);
  EXPECT_EQ(choice.tuples, 10);
  ASSERT_EQ(choice.notes.size(), 1u);
  EXPECT_THAT(choice.notes[0], HasSubstr("8"));
  EXPECT_TRUE(choose_experts(plain_scores(), {.candidates = 5, .count = 2}).notes.empty());
}

/// The same with 'b' untrained, which is therefore similar to no other.
BankScores scores_with_idle() {
  BankScores scores = plain_scores();
  scores.effect = {1, 0, 1, 1, 1};
  scores.copy_of = {-1, -1, -1, 0, -1};
  for (std::size_t i = 0; i < 5; ++i)
    if (i != 1) scores.similarity[5 + i] = scores.similarity[i * 5 + 1] = 0;
  return scores;
}

TEST(ExpertChoice, AnAdapterWithoutEffectIsNoCandidate) {
  const BankScores scores = scores_with_idle();
  BankScores all = scores;
  all.effect.clear();
  EXPECT_THAT(choose_experts(all, {.candidates = 5, .count = 2}).experts, testing::Contains("b"))
      << "diversity favours it";
  const ExpertChoice choice = choose_experts(scores, {.candidates = 4, .count = 2});
  EXPECT_THAT(choice.candidates, ElementsAre("a", "c", "d", "e"));
  ASSERT_EQ(choice.notes.size(), 2u);
  EXPECT_THAT(choice.notes[0], HasSubstr("'b' has no effect"));
  EXPECT_THAT(choice.notes[1], HasSubstr("'d' is a copy of 'a'"));
  EXPECT_THAT(choose_experts(scores, {.candidates = 5, .count = 2}).notes.back(),
              HasSubstr("4 adapters with an effect: all are candidates"));
  for (std::uint64_t seed = 0; seed < 20; ++seed)
    EXPECT_THAT(choose_experts(scores, {.count = 4, .signals = {false, false, false}, .seed = seed}).experts,
                testing::Not(testing::Contains("b")));
}

TEST(ExpertChoice, AnAdapterWithoutEffectMayBeNamed) {
  BankScores scores = scores_with_idle();
  EXPECT_THAT(choose_experts(scores, {.names = {"b", "a"}}).experts, ElementsAre("a", "b"));
  std::string message;
  EXPECT_EQ(code_of(scores, {.candidates = 5, .count = 5}, &message), ExitCode::data);
  EXPECT_THAT(message, HasSubstr("5 adapters, 1 of them without effect"));
  for (std::size_t i = 0; i < 2; ++i) scores.nll[4 + i] = 0.1;
  EXPECT_EQ(best_single(scores), "a");
  scores.effect.assign(5, 0);
  EXPECT_EQ(best_single(scores), "b") << "where none has an effect";
}

TEST(ExpertChoice, RefusesMoreTuplesThanCanBeRanked) {
  BankScores scores;
  scores.adapters = {"(base)"};
  for (int i = 0; i < 60; ++i) {
    scores.adapters.push_back(fmt::format("a{:02}", i));
  }
  scores.shots = 1;
  scores.nll.assign(61, 0.5);
  scores.correct.assign(61, 1);
  scores.similarity.assign(3600, 0.5);
  std::string message;
  EXPECT_EQ(code_of(scores, {.candidates = 60, .count = 30}, &message), ExitCode::config);
  EXPECT_THAT(message, HasSubstr("experts.candidates"));
  EXPECT_EQ(choose_experts(scores, {.candidates = 60, .count = 58}).tuples, 1770);
}

TEST(ExpertChoice, TheDrawDependsOnTheSeedOnly) {
  const BankScores scores = plain_scores();
  ExpertOptions options{.candidates = 2, .count = 2, .signals = {false, false, false}};
  std::set<std::vector<std::string>> draws;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    options.seed = seed;
    const ExpertChoice choice = choose_experts(scores, options);
    EXPECT_EQ(choice.experts, choose_experts(scores, options).experts);
    draws.insert(choice.experts);
  }
  EXPECT_EQ(draws.size(), 10u);
}

TEST(AverageRanks, SharesThePlacesOfEquals) {
  EXPECT_THAT(average_ranks({3, 1, 3, 2, 3}), ElementsAre(4, 1, 4, 2, 4));
  EXPECT_TRUE(average_ranks({}).empty());
}

}  // namespace
}  // namespace rocket
