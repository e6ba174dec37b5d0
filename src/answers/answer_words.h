// Words of answers in the languages that models answer in. A row more is all that another language takes.
#pragma once

#include <array>
#include <string_view>
#include <utility>

namespace rocket {

/// Announce an answer. A word of letters that are parted by blanks stands alone; the others may touch.
inline constexpr std::array<std::string_view, 23> kAnswerWords = {
    "answers",
    "answer",
    "antwort",
    "l\u00f6sung",
    "respuesta",
    "soluci\u00f3n",
    "r\u00e9ponse",
    "reponse",
    "risposta",
    "resposta",
    "\u043e\u0442\u0432\u0435\u0442",  // Russian
    "odpowied\u017a",
    "odpowiedz",
    "cevap",
    "jawaban",
    "antwoord",
    "svaret",
    "svar",
    "vastaus",
    "\u0111\u00e1p \u00e1n",
    "odgovor",
    "odpov\u011b\u010f",
    "r\u0103spunsul"};
inline constexpr std::array<std::string_view, 12> kTouchingAnswerWords = {
    "\u7b54\u6848",  // Chinese
    "\u7b54\u3048",
    "\u6b63\u89e3",  // Japanese
    "\u7b54:",
    "\u7b54\u662f",
    "\uc815\ub2f5",
    "\ub2f5:",
    "\ub2f5\uc740",  // Korean
    "\u0627\u0644\u062c\u0648\u0627\u0628",
    "\u0627\u0644\u0625\u062c\u0627\u0628\u0629",  // Arabic
    "\u0909\u0924\u094d\u0924\u0930",              // Hindi
    "\u0e04\u0e33\u0e15\u0e2d\u0e1a"};             // Thai

/// Stand between an announcement and its answer.
inline constexpr std::array<std::string_view, 86> kFillingWords = {
    "is", "are", "was", "be", "being", "would", "will", "should", "must", "seems", "appears", "to", "most",
    "likely", "probably", "definitely", "clearly", "simply", "just", "actually", "indeed", "therefore",
    "thus", "the", "my", "an", "final", "correct", "right", "best", "option", "options", "choice", "letter",
    "number", "answer", "value", "about", "approximately", "roughly", "around", "exactly", "equal", "equals",
    "given", "by", "as", "follows", "that", "it", "its", "so", "then", "x", "y", "total", "of", "now", "in",
    "fact",
    // German, Spanish, French, Italian, Portuguese, Dutch
    "ist", "lautet", "die", "der", "das", "es", "la", "el", "le", "est", "lo", "correcta", "correcto",
    "correta", "correto", "correcte", "richtige", "opzione", "alternativa", "alternative", "lettre", "letra",
    "antwort", "lettera", "respuesta", "resposta"};
inline constexpr std::array<std::string_view, 24> kTouchingFillingWords = {
    "opci\u00f3n",
    "op\u00e7\u00e3o",
    "\u00e9",
    "\u00e9 a ",
    "\u00e9 o ",
    "\u00e8",
    "\u2014",
    "\u2248",
    "\u2192",
    "\u21d2",
    "\u21e8",
    "\u662f",
    "\u4e3a",
    "\u70ba",
    "\u5e94\u8be5",
    "\u5e94",
    "\u9009\u9879",
    "\u9009",
    "\u306f",
    "\uc740",
    "\ub294",
    "\u043e\u0442\u0432\u0435\u0442",
    "\u0432\u0430\u0440\u0438\u0430\u043d\u0442",
    "\u0647\u0648"};

/// Yes and no. A word of letters that are parted by blanks stands alone; the others count only where an
/// answer is announced or begins.
inline constexpr std::array<std::pair<std::string_view, bool>, 41> kBooleanWords = {{
    {"untrue", false},
    {"yes", true},
    {"true", true},
    {"no", false},
    {"false", false},
    {"s\u00ed", true},
    {"verdadero", true},
    {"verdadera", true},
    {"falso", false},
    {"falsa", false},
    {"oui", true},
    {"vrai", true},
    {"vraie", true},
    {"non", false},
    {"faux", false},
    {"fausse", false},
    {"ja", true},
    {"wahr", true},
    {"richtig", true},
    {"nein", false},
    {"falsch", false},
    {"s\u00ec", true},
    {"vero", true},
    {"sim", true},
    {"verdadeiro", true},
    {"n\u00e3o", false},
    {"nee", false},
    {"nej", false},
    {"waar", true},
    {"onwaar", false},
    {"tak", true},
    {"nie", false},
    {"evet", true},
    {"hay\u0131r", false},
    {"\u0434\u0430", true},
    {"\u043d\u0435\u0442", false},
    {"\u0432\u0435\u0440\u043d\u043e", true},
    {"\u043d\u0435\u0432\u0435\u0440\u043d\u043e", false},
    {"kyll\u00e4", true},
    {"\u0646\u0639\u0645", true},
    {"\u0644\u0627", false},
}};
inline constexpr std::array<std::pair<std::string_view, bool>, 15> kTouchingBooleanWords = {{
    {"\u6b63\u786e", true},
    {"\u9519\u8bef", false},
    {"\u662f\u7684", true},
    {"\u4e0d\u662f", false},
    {"\u4e0d\u5bf9", false},
    {"\u4e0d\u6b63\u786e", false},
    {"\u662f", true},
    {"\u5426", false},
    {"\u5bf9", true},
    {"\u9519", false},
    {"\u306f\u3044", true},
    {"\u3044\u3044\u3048", false},
    {"\uc608", true},
    {"\uc544\ub2c8\uc694", false},
    {"\uc544\ub2c8\uc624", false},
}};

}  // namespace rocket
