// report.html: one self-contained page about one run, pictures included. No network, no scripts.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace rocket {

/// One row of the result table.
struct ReportSystem {
  std::string name;   // "expert", "base", ...
  std::string label;  // for people: "best single (sells)"
  std::int64_t correct = 0, items = 0;
  bool ours = false;  // the run's own expert; the others are what it is compared with
  std::optional<std::int64_t> nothing_found = std::nullopt;  // generations without an answer; null: not known
  std::optional<double> best = std::nullopt;  // probability to be the best of all; null: not known
};

/// Two systems by their names, as compare_systems has them.
struct ReportDifference {
  std::string a, b;
  double difference = 0, low = 0, high = 0;  // accuracy of a minus that of b, and its 95 % interval
  std::int64_t a_only = 0, b_only = 0;       // items that one alone answers right
  double p_holm = 1;
  bool beyond_chance = false;
  bool ours = false;  // the run's own expert is one of the two
};

struct ReportAdapter {
  std::string name;
  double perplexity = 0, accuracy = 0;
  std::optional<double> perplexity_se, accuracy_se, exp_mean_nll;
  std::optional<double> place;
  bool candidate = false, expert = false;
  /// Shares of resampled sets of shots in which it does at least as well as the best (compare_with_best).
  std::optional<double> perplexity_share, accuracy_share;
};

struct ReportBank {
  std::int64_t shots = 0;
  std::optional<ReportAdapter> base;
  std::vector<ReportAdapter> adapters;
  std::vector<std::string> notes;  // as of the choice of experts
};

struct ReportSimilarity {
  std::vector<std::string> names;    // candidates, in order of their places
  std::vector<std::uint8_t> expert;  // of each
  std::vector<double> matrix;        // [names, names]
  std::optional<double> mean_of_experts;
};

/// Two records that are near each other: the first was kept and dropped the second.
struct ReportPair {
  std::string kept, dropped;
  std::optional<double> cosine;                               // of the two
  std::optional<double> kept_similarity, dropped_similarity;  // to the shots
};

/// A file of the corpus.
struct ReportSource {
  std::string file;
  std::int64_t retrieved = 0, kept = 0;
};

/// Shots and retrieved records in the plane along which their embeddings spread most.
struct ReportPlane {
  std::vector<std::array<double, 2>> shots, kept, dropped;
  std::array<double, 2> share{};  // of the spread that each axis shows
  std::int64_t left_out = 0;      // records that are not drawn, because there are too many
};

struct ReportSelection {
  std::int64_t records = 0;         // in the corpus
  std::int64_t skipped = 0;         // broken records, which are not in the corpus
  std::int64_t decontaminated = 0;  // removed before retrieval
  std::int64_t by_ngram = 0;        // of these: not equal to a shot or an evaluation item, but near in words
  std::string policy;
  double threshold = 0;
  /// (place from 1, similarity) by descending similarity: sample_curve of the corpus without what was
  /// removed.
  std::vector<std::pair<std::int64_t, float>> curve;
  std::vector<float> similarity;   // of the retrieved, in walk order
  std::vector<std::uint8_t> kept;  // of the retrieved
  std::vector<ReportPair> examples;
  std::vector<ReportSource> sources;
  std::optional<ReportPlane> plane;
};

struct ReportStep {
  std::int64_t step = 0, epoch = 0;
  double loss = 0, learning_rate = 0, gradient_norm = 0;
  std::int64_t target_tokens = 1;
};

struct ReportLoad {
  std::vector<std::string> modules;  // [W]
  std::vector<std::string> experts;  // [N]
  std::vector<double> share;         // [W, N], rows sum to 1; 0 where an expert does not adapt the module
};

struct ReportJob {
  std::string name, state;  // absent, partial, done
  std::optional<double> seconds;
};

/// Every part may be missing: the page then says which job would supply it.
struct ReportData {
  std::string run, task, version, config_path;
  std::vector<std::pair<std::string, std::string>> settings;
  std::vector<ReportSystem> systems;
  std::vector<ReportDifference> differences;  // of all pairs of systems
  std::optional<double> chance;               // accuracy of a guess; null: not known
  std::optional<ReportBank> bank;
  std::optional<ReportSimilarity> similarity;
  std::optional<ReportSelection> selection;
  std::vector<ReportStep> training;
  std::optional<ReportLoad> load;  // mean over the last epoch
  std::vector<ReportJob> jobs;
};

/// The whole page, UTF-8. Texts are escaped, bytes that are no UTF-8 become U+FFFD.
std::string render_report(const ReportData& data);

/// At most `points` points of a curve of similarities, evenly spread over the logarithm of the place, both
/// ends included.
std::vector<std::pair<std::int64_t, float>> sample_curve(std::vector<float> similarity,
                                                         std::int64_t points = 400);

}  // namespace rocket
