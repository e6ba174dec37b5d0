// The bank on the shots: nll, generations and hits of every adapter and shot, similarity of every pair of
// adapters.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <map>
#include <numeric>

#include "adapters/bank.h"
#include "adapters/training_prompt.h"
#include "base/error.h"
#include "base/log.h"
#include "jobs.h"
#include "pipeline/options.h"
#include "pipeline/results.h"
#include "pipeline/task_data.h"
#include "pipeline/unit_job.h"
#include "scoring/choices.h"
#include "selection/heavy_shots.h"

namespace rocket {

namespace {

// With shots_per_unit: the shots of an adapter together, since what they begin with is computed once, and
// units small enough that dozens of ranks find work in a bank of 38.
constexpr std::int64_t adapters_per_unit = 2;

/// Row 0 of the table is the base alone; adapter i of the bank is row i + 1.
struct Block {
  std::int64_t first_row, rows, first_shot, shots;
};

class BankOnShots {
 public:
  explicit BankOnShots(const Session& session)
      : config_(session.config),
        ranks_(session.comm.size()),
        reader_(ready_reader(config_)),
        shots_(read_shots(config_, reader_)),
        text_(config_),
        decoder_(configured_base(config_, session.rank_on_node)),
        bank_(configured_bank(config_), decoder_.modules(), compute_type(config_), decoder_.device(),
              config_.bank.memory.bytes, decoder_.files()),
        generate_(text_.generate_options(config_)) {
    for (const Question& shot : shots_) tokens_.push_back(text_.shot(shot.record));
    row_blocks_together_ = row_blocks_together();
  }

  /// Root only, before the work.
  void check_bank() {
    const auto adapters = bank_.check_all(std::numeric_limits<std::int64_t>::max());
    if (const std::string note = note_on_bases(adapters, config_.base.path); !note.empty())
      log::info("note: {}", note);
    if (const std::string note = note_on_wrappers(bank_.entries(), adapters); !note.empty())
      log::warn("score: {}", note);
    if (const std::string note = note_on_prompts(bank_.entries(), prompt_template(config_)); !note.empty())
      log::warn("score: {}", note);
    bank_alone_ = scores_without_shots(bank_.entries(), adapters);
    for (const std::string& note : notes_on_bank(bank_alone_)) log::warn("score: {}", note);
  }
  /// Root only: names, effects and copies.
  const BankScores& bank_alone() const { return bank_alone_; }
  const std::vector<Question>& shots() const { return shots_; }
  const std::vector<ShotTokens>& tokens() const { return tokens_; }
  bool ranks_choices() const { return reader_.ranks_choices(); }
  std::int64_t rows() const { return bank_.size() + 1; }
  /// The blocks of the table, and one unit more: the similarities.
  std::int64_t units() const { return row_blocks() * shot_blocks() + 1; }
  Block block(std::int64_t unit) const;
  /// Units of neighbouring adapters and the same shots, as many texts as the device should continue together.
  std::int64_t group_of(std::int64_t unit) const;
  void prepare(const std::vector<std::int64_t>& units);
  void compute(std::int64_t unit, H5Writer& part);

 private:
  std::int64_t row_blocks() const { return (rows() + adapters_per_unit - 1) / adapters_per_unit; }
  std::int64_t shot_blocks() const {
    return (static_cast<std::int64_t>(shots_.size()) + shots_per_unit - 1) / shots_per_unit;
  }
  std::int64_t row_blocks_together() const;
  void write_nll(const Block& block, const std::vector<std::vector<ShotScore>>& scores, H5Writer& part) const;
  void write_generations(const Block& block, const std::vector<std::vector<ShotScore>>& scores,
                         H5Writer& part) const;
  void write_choices(const Block& block, const std::vector<std::vector<ShotScore>>& scores,
                     H5Writer& part) const;

  void check_nll(double nll, std::int64_t row, std::int64_t shot) const;
  void read_ahead(const std::vector<std::int64_t>& units);

  const RunConfig& config_;
  std::int64_t ranks_;
  AnswerReader reader_;
  std::vector<Question> shots_;
  BaseText text_;
  Decoder decoder_;
  Bank bank_;
  GenerateOptions generate_;
  std::vector<ShotTokens> tokens_;
  std::int64_t row_blocks_together_ = 1;
  BankScores bank_alone_;
  std::map<std::int64_t, std::vector<std::vector<ShotScore>>> scores_;  // of units that are prepared
};

Block BankOnShots::block(std::int64_t unit) const {
  const std::int64_t row = unit / shot_blocks() * adapters_per_unit,
                     shot = unit % shot_blocks() * shots_per_unit;
  return {row, std::min(adapters_per_unit, rows() - row), shot,
          std::min(shots_per_unit, static_cast<std::int64_t>(shots_.size()) - shot)};
}

std::int64_t BankOnShots::row_blocks_together() const {
  if (ranks_choices()) return 1;
  std::size_t longest = 0;
  for (const ShotTokens& shot : tokens_) longest = std::max(longest, shot.example.ids.size());
  const std::int64_t positions = static_cast<std::int64_t>(longest) + generate_.max_new_tokens;
  const std::int64_t texts = adapters_per_unit * std::max<std::int64_t>(1, block(0).shots);
  return std::max<std::int64_t>(1, texts_together(decoder_, positions) / texts);
}

std::int64_t BankOnShots::group_of(std::int64_t unit) const {
  const std::int64_t row_block = unit / shot_blocks(), shot_block = unit % shot_blocks();
  const std::int64_t together = unit == units() - 1 ? 1 : row_blocks_together_;
  return row_block / together * together * shot_blocks() + shot_block;
}

void BankOnShots::prepare(const std::vector<std::int64_t>& units) {
  if (units.front() == this->units() - 1) return;
  std::vector<std::shared_ptr<const LoraAdapter>> adapters;
  for (const std::int64_t unit : units) {
    const Block b = block(unit);
    for (std::int64_t row = b.first_row; row < b.first_row + b.rows; ++row)
      adapters.push_back(row == 0 ? nullptr : bank_.get(row - 1));
  }
  read_ahead(units);
  const Block first = block(units.front());
  auto scores =
      score_block(decoder_, adapters, std::span(tokens_).subspan(first.first_shot, first.shots), generate_);
  auto next = std::make_move_iterator(scores.begin());
  for (const std::int64_t unit : units) {
    scores_[unit] = {next, next + block(unit).rows};
    next += block(unit).rows;
  }
}

void BankOnShots::compute(std::int64_t unit, H5Writer& part) {
  if (unit == units() - 1) {
    part.write("similarity", similarity_matrix(bank_, similarity_kind(config_)),
               {bank_.size(), bank_.size()});
    return;
  }
  const Block b = block(unit);
  const auto scores = scores_.extract(unit).mapped();
  write_nll(b, scores, part);
  if (ranks_choices())
    write_choices(b, scores, part);
  else
    write_generations(b, scores, part);
}

/// Ranks take the groups in turn, more or less: the adapters of the next two that may come here.
void BankOnShots::read_ahead(const std::vector<std::int64_t>& units) {
  std::vector<std::int64_t> adapters;
  const auto size = static_cast<std::int64_t>(units.size());
  for (const std::int64_t round : {ranks_, 2 * ranks_}) {
    for (const std::int64_t unit : units) {
      const std::int64_t next = unit + round * size;
      if (next >= this->units() - 1) break;
      const Block b = block(next);
      for (std::int64_t row = b.first_row; row < b.first_row + b.rows; ++row)
        if (row > 0) adapters.push_back(row - 1);
    }
  }
  bank_.read_ahead(std::move(adapters));
}

/// A far-off adapter may make exp of the nll overflow; the nll itself is finite where all logits are.
void BankOnShots::check_nll(double nll, std::int64_t row, std::int64_t shot) const {
  if (std::isfinite(nll)) return;
  const std::string at = fmt::format("shot {} ({}) is {}", shot, place(shots_[shot].record), nll);
  if (row == 0)
    fail_data("the base alone: the nll of {}: its activations overflow in {}", at, config_.base.dtype);
  const std::string& name = bank_.entries()[row - 1].name;
  fail_data(
      "adapter '{}': the nll of {}: with it activations overflow in {} (to go on without: bank.exclude: "
      "[{}])",
      name, at, config_.base.dtype, name);
}

void BankOnShots::write_nll(const Block& b, const std::vector<std::vector<ShotScore>>& scores,
                            H5Writer& part) const {
  std::vector<double> nll;
  for (std::int64_t row = 0; row < b.rows; ++row) {
    for (std::int64_t shot = 0; shot < b.shots; ++shot) {
      nll.push_back(scores[row][shot].nll);
      check_nll(nll.back(), b.first_row + row, b.first_shot + shot);
    }
  }
  part.write("nll", nll, {b.rows, b.shots});
}

void BankOnShots::write_generations(const Block& b, const std::vector<std::vector<ShotScore>>& scores,
                                    H5Writer& part) const {
  std::vector<std::string> generations;
  std::vector<const Question*> questions;
  for (std::int64_t row = 0; row < b.rows; ++row) {
    for (std::int64_t shot = 0; shot < b.shots; ++shot) {
      generations.push_back(text_.generation(scores[row][shot].generated));
      questions.push_back(&shots_[b.first_shot + shot]);
    }
  }
  part.write("correct", judge(reader_, questions, generations).correct, {b.rows, b.shots});
  part.write_strings("generation", generations, {b.rows, b.shots});
}

void BankOnShots::write_choices(const Block& b, const std::vector<std::vector<ShotScore>>& scores,
                                H5Writer& part) const {
  std::vector<std::int64_t> chosen;
  std::vector<std::uint8_t> correct;
  for (std::int64_t row = 0; row < b.rows; ++row) {
    for (std::int64_t shot = 0; shot < b.shots; ++shot) {
      const Record& record = shots_[b.first_shot + shot].record;
      for (const double logprob : scores[row][shot].logprobs)
        check_nll(-logprob, b.first_row + row, b.first_shot + shot);
      chosen.push_back(prefer(scores[row][shot].logprobs, record.choices).by_sum);
      correct.push_back(chosen.back() == static_cast<std::int64_t>(*record.right_choice));
    }
  }
  part.write("correct", correct, {b.rows, b.shots});
  part.write("chosen", chosen, {b.rows, b.shots});
}

/// Puts a part's block [rows, shots] into the whole table [*, columns].
template <class T>
void place(const std::vector<T>& values, const Block& b, std::int64_t columns, std::vector<T>& table) {
  for (std::int64_t row = 0; row < b.rows; ++row)
    std::copy_n(values.begin() + row * b.shots, b.shots,
                table.begin() + (b.first_row + row) * columns + b.first_shot);
}

/// Root only. score.h5 from the parts.
void gather(const JobContext& context, const BankOnShots& work) {
  const std::int64_t rows = work.rows(), shots = static_cast<std::int64_t>(work.shots().size());
  std::vector<double> nll(rows * shots);
  std::vector<std::uint8_t> correct(rows * shots);
  std::vector<std::string> generations(rows * shots);
  std::vector<std::int64_t> chosen(rows * shots);
  for (std::int64_t unit = 0; unit + 1 < work.units(); ++unit) {
    const H5Reader part = open_part(context, unit);
    const Block b = work.block(unit);
    place(part.read<double>("nll", {b.rows, b.shots}), b, shots, nll);
    place(part.read<std::uint8_t>("correct", {b.rows, b.shots}), b, shots, correct);
    if (work.ranks_choices())
      place(part.read<std::int64_t>("chosen", {b.rows, b.shots}), b, shots, chosen);
    else
      place(part.read_strings("generation"), b, shots, generations);
  }
  std::vector<std::int64_t> numbers(shots);  // places in the shots file, blank lines not counted
  std::iota(numbers.begin(), numbers.end(), 0);
  std::vector<std::int32_t> target_tokens;
  for (const ShotTokens& shot : work.tokens())
    target_tokens.push_back(static_cast<std::int32_t>(shot.example.target_tokens()));

  H5Writer out(context.session.run.file("score.h5"));
  out.write_strings("adapter", work.bank_alone().adapters, {rows});
  out.write("effect", work.bank_alone().effect);
  out.write("copy_of", work.bank_alone().copy_of);
  out.write("shot", numbers);
  out.write("target_tokens", target_tokens);
  out.write("nll", nll, {rows, shots});
  out.write("correct", correct, {rows, shots});
  if (work.ranks_choices())
    out.write("chosen", chosen, {rows, shots});
  else
    out.write_strings("generation", generations, {rows, shots});
  out.write("similarity",
            open_part(context, work.units() - 1).read<double>("similarity", {rows - 1, rows - 1}),
            {rows - 1, rows - 1});
  out.commit();
}

/// Root only.
void warn_of_heavy_shots(const RunDirectory& run, const std::vector<Question>& shots) {
  const BankScores scores = read_scores(run).bank;
  for (const HeavyShot& heavy : heavy_shots(scores))
    log::warn(
        "score: {}",
        describe(heavy, scores, fmt::format("shot {} ({})", heavy.shot, place(shots[heavy.shot].record))));
}

}  // namespace

JobEnd score(JobContext& context) {
  Session& session = context.session;
  std::optional<BankOnShots> work;
  agree(session.comm, [&] { work.emplace(session); });
  on_root(session.comm, [&] {
    work->check_bank();
    if (const std::string note = note_on_golds(work->shots(), session.config.task.shots); !note.empty())
      log::info("score: {}", note);
  });
  const JobEnd end = run_unit_job(
      context, {.units = work->units(),
                .work = [&](std::int64_t unit, H5Writer& part) { work->compute(unit, part); },
                .group = [&](std::int64_t unit) { return work->group_of(unit); },
                .prepare = [&](const std::vector<std::int64_t>& units) { work->prepare(units); }});
  if (end == JobEnd::finished) {
    on_root(session.comm, [&] {
      gather(context, *work);
      warn_of_heavy_shots(session.run, work->shots());
    });
  }
  return end;
}

}  // namespace rocket
