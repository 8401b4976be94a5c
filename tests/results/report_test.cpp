// Does a report show everything that is in a file, say what is missing, and stay well-formed whatever the names are?
#include "tessera/results/report.hpp"

#include <gmock/gmock.h>

#include <algorithm>

#include "h5/temporary_directory.hpp"
#include "results/sample_run.hpp"

namespace tessera::results {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// What is wrong with the nesting of tags and with bare < & of a page; empty for a good one.
std::string markup_problem(const std::string& html) {
  std::vector<std::string> open;
  for (std::size_t i = html.find('<'); i != std::string::npos; i = html.find('<', i)) {
    if (html.compare(i, 9, "<!DOCTYPE") == 0) {
      ++i;
      continue;
    }
    const std::size_t end = html.find('>', i);
    if (end == std::string::npos) return "a tag does not end";
    const std::string tag = html.substr(i + 1, end - i - 1);
    if (tag.find('<') != std::string::npos) return "'<' within the tag " + tag;
    if (std::count(tag.begin(), tag.end(), '"') % 2 != 0) return "an open quote in the tag " + tag;
    const std::string name = tag.substr(0, tag.find_first_of(" /", 1));
    if (tag[0] == '/') {
      if (open.empty() || "/" + open.back() != tag) return "unexpected <" + tag + ">";
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(name);
    }
    i = end;
  }
  if (!open.empty()) return "<" + open.back() + "> is not closed";
  for (std::size_t i = html.find('&'); i != std::string::npos; i = html.find('&', i + 1)) {
    const std::size_t end = html.find(';', i);
    if (end == std::string::npos || end - i > 7) return "a bare & at " + html.substr(i, 20);
  }
  return "";
}

/// Attributes that make a browser fetch something.
std::vector<std::string> loads(const std::string& html) {
  std::vector<std::string> found;
  for (const std::string word : {" src=", "xlink:href=", "@import", "url(", "<link", "<script", "<iframe", "<object"})
    if (html.find(word) != std::string::npos) found.push_back(word);
  for (std::size_t i = html.find(" href=\""); i != std::string::npos; i = html.find(" href=\"", i + 1))
    if (html[i + 7] != '#') found.push_back(html.substr(i, 30));
  return found;
}

class ReportTest : public ::testing::Test {
 protected:
  std::string sample(const Header& header, std::int64_t points = 1000000, const std::string& name = "results.h5") {
    const std::string path = directory_ / name;
    sample::write_file(path, header, 3, 1, points);
    return path;
  }
  static std::string page(const std::string& path) {
    const std::vector<Report> reports{make_report(Reader(path))};
    return html_page(reports);
  }

  testing::TemporaryDirectory directory_;
};

std::vector<std::string> figure_names(const Report& report) {
  std::vector<std::string> names;
  for (const ReportSection& section : report.sections)
    for (const ReportFigure& figure : section.figures) names.push_back(figure.name);
  return names;
}

const ReportTable& table(const Report& report, const std::string& name) {
  for (const ReportSection& section : report.sections)
    for (const ReportTable& candidate : section.tables)
      if (candidate.name == name) return candidate;
  throw std::runtime_error("no table " + name);
}

TEST_F(ReportTest, TheCheckOfMarkupFindsFaults) {
  EXPECT_EQ(markup_problem("<!DOCTYPE html><a b=\"c\"><d/>x &amp; y</a>"), "");
  for (const char* broken : {"<a><b></a></b>", "<a>", "</a>", "<a b=\"c></a>", "<a>x & y</a>", "<a"})
    EXPECT_NE(markup_problem(broken), "") << broken;
  EXPECT_THAT(loads("<img src=\"https://example.org/x.png\"/>"), Not(IsEmpty()));
  EXPECT_THAT(loads("<a href=\"https://example.org\"></a>"), Not(IsEmpty()));
}

TEST_F(ReportTest, ASweepShowsEveryLayerAxisAndPair) {
  const Header header = sample::sweep_header();
  const std::string path = sample(header);
  const Report report = make_report(Reader(path));
  const std::string html = page(path);
  EXPECT_EQ(markup_problem(html), "");
  EXPECT_THAT(loads(html), IsEmpty());
  for (const LayerHeader& layer : header.layers) EXPECT_THAT(html, HasSubstr(layer.name));
  for (const Axis& axis : header.swept) {
    EXPECT_THAT(html, HasSubstr(axis.long_name));
    EXPECT_THAT(figure_names(report), Contains("accuracy-" + axis.name));
    EXPECT_THAT(figure_names(report), Contains("sensitivity-alone-" + axis.name));
  }
  for (const char* name :
       {"accuracy-n_bits-w_noise_type", "accuracy-time", "layer-sqnr", "layer-clipping", "layer-bits"})
    EXPECT_THAT(figure_names(report), Contains(name));
  EXPECT_EQ(table(report, "compensation").rows.size(), 1U);
  EXPECT_THAT(html, HasSubstr("25.0 %"));  // cells at their limits
  EXPECT_THAT(html, HasSubstr("PCM_READ"));
  EXPECT_THAT(html, HasSubstr("prefers-color-scheme: dark"));
  EXPECT_THAT(html, HasSubstr("name: µ-run"));
  ASSERT_TRUE(Reader(path).has("/layers/conv1/conductance_histogram"));
  EXPECT_THAT(figure_names(report), Contains("conductances"));
}

TEST_F(ReportTest, AccuraciesAreThoseOfTheFileWithStudentsInterval) {
  const Report report = make_report(Reader(sample(sample::sweep_header())));
  const ReportTable& points = table(report, "accuracy");
  ASSERT_EQ(points.rows.size(), 3U * 2U * 2U);
  // n_bits = 4, NONE, the second time: repeats of number() / 1e4; two chips: t(0.975, 1) = 12.7062.
  const double first = sample::number({{1, 0}, 1, 0}, 0) / 1e4, second = sample::number({{1, 0}, 1, 1}, 0) / 1e4;
  const auto& row = points.rows[(1 * 2 + 0) * 2 + 1];
  EXPECT_EQ(row[0].text, "4");
  EXPECT_EQ(row[1].text, "NONE");
  EXPECT_EQ(row[2].text, "1 h");
  EXPECT_NEAR(std::stod(row[3].exact), (first + second) / 2, 1e-12);
  EXPECT_NEAR(std::stod(row[4].exact), 12.7062047 * std::abs(first - second) / 2, 1e-7);
  EXPECT_NEAR(std::stod(row[7].exact), 0.75, 1e-12);
  EXPECT_NEAR(std::stod(row[8].exact), (first + second) / 2 - 0.75, 1e-12);
}

TEST_F(ReportTest, SensitivityIsTheMeanOverTheOtherAxes) {
  const Report report = make_report(Reader(sample(sample::sweep_header())));
  const ReportTable& matrix = table(report, "sensitivity-alone-n_bits");
  ASSERT_EQ(matrix.rows.size(), 1U);
  double sum = 0.0;
  for (const std::int64_t type : {0, 1})
    for (const std::int64_t time : {0, 1})
      for (const std::int64_t repeat : {0, 1}) sum += sample::number({{2, type}, time, repeat}, 30);
  EXPECT_NEAR(std::stod(matrix.rows[0][3].exact), sum / 8, 1e-9);
}

TEST_F(ReportTest, NamesAreEscapedEverywhere) {
  Header header = sample::sweep_header();
  header.layers[0].name = "<b>&\"'conv1";
  header.layers[1].name = "\xff\x01 bad | bytes";
  header.swept[0].name = "<i>&axis";
  header.swept[0].long_name = "</title><script>alert(1)</script>";
  header.swept[1].values = std::vector<std::string>{"<u>&", "a,\"b\""};
  header.config_text = "</pre><img src=x> & <b>";
  const std::string path = directory_ / "results.h5";
  try {
    sample::write_file(path, header);
  } catch (const Error&) {
    header.layers[1].name = "bad | bytes";  // where the writer refuses such bytes itself
    sample::write_file(path, header);
  }
  const std::vector<Report> reports{make_report(Reader(path))};
  const std::string html = html_page(reports);
  EXPECT_EQ(markup_problem(html), "");
  for (const char* raw : {"<b>", "<script", "<i>", "<u>", "<img"}) EXPECT_THAT(html, Not(HasSubstr(raw))) << raw;
  EXPECT_THAT(html, HasSubstr("&lt;b&gt;&amp;&quot;&#39;conv1"));
  EXPECT_THAT(markdown_text(reports), HasSubstr("bad \\| bytes"));
  EXPECT_THAT(csv_text(table(reports[0], "accuracy")), HasSubstr("\"a,\"\"b\"\"\""));
  for (const ReportSection& section : reports[0].sections)
    for (const ReportTable& t : section.tables)
      EXPECT_EQ(t.name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."),
                std::string::npos)
          << t.name;
}

TEST_F(ReportTest, IncompleteFilesAreReportedAsFarAsTheyGo) {
  for (const std::int64_t points : {0, 1, 5}) {
    const std::string path = sample(sample::sweep_header(), points, fmt::format("{}.h5", points));
    const std::string html = page(path);
    EXPECT_EQ(markup_problem(html), "");
    for (const char* number : {">nan", " nan", "\"nan", ",nan", "-nan", "(nan"})
      EXPECT_THAT(html, Not(HasSubstr(number)));
    EXPECT_THAT(html, HasSubstr(fmt::format("{} of 24 points", points)));
    EXPECT_THAT(html, HasSubstr("incomplete"));
  }
}

TEST_F(ReportTest, WithoutLabelsOrStatisticsTheRestRemains) {
  Header header = sample::run_header();
  header.labels.clear();
  header.top5 = false;
  std::string html = page(sample(header, 1000000, "unlabelled.h5"));
  EXPECT_EQ(markup_problem(html), "");
  EXPECT_THAT(html, HasSubstr("no labels"));
  EXPECT_THAT(html, HasSubstr("conv1"));
}

TEST_F(ReportTest, ExactLayersAreCalledExact) {
  const Report report = make_report(Reader(sample(sample::run_header())));
  const ReportTable& layers = table(report, "layers");
  ASSERT_EQ(layers.rows.size(), 2U);
  EXPECT_EQ(layers.rows[1][5].text, "exact");
  EXPECT_EQ(layers.rows[1][5].exact, "inf");
  EXPECT_NEAR(std::stod(layers.rows[0][5].exact), 20 + 5 + 0.5, 1e-9);
}

TEST_F(ReportTest, SeveralFilesAreCompared) {
  Header other = sample::run_header();
  other.layers[1].name = "head";
  std::vector<Reader> readers;
  readers.emplace_back(sample(sample::run_header(), 1000000, "a.h5"));
  readers.emplace_back(sample(other, 1000000, "b.h5"));
  std::vector<Report> reports{compare_reports(readers)};
  for (const Reader& reader : readers) reports.push_back(make_report(reader));
  EXPECT_EQ(table(reports[0], "comparison").rows.size(), 2U);
  EXPECT_EQ(table(reports[0], "comparison-layers").rows.size(), 3U);
  const std::string html = html_page(reports);
  EXPECT_EQ(markup_problem(html), "");
  for (const char* name : {"a.h5", "b.h5", "block/fc", "head"}) EXPECT_THAT(html, HasSubstr(name));
  EXPECT_THAT(compare_reports(std::span<const Reader>(readers).first(1)).sections, IsEmpty());
}

TEST_F(ReportTest, LongAxesAndManyLayersStayInTheirFigures) {
  Header header;
  header.samples = 3;
  header.labels = {0, 1, 2};
  header.hardware = false;
  std::vector<double> values;
  for (int i = 0; i < 150; ++i) values.push_back(0.01 * i);
  header.swept = {{"out_noise", "1", "rpu_config.forward.out_noise", values}};
  for (int i = 0; i < 30; ++i)
    header.layers.push_back({.name = fmt::format("a/very/long/name/of/a/layer/that/does/not/fit/{}", i),
                             .op = "Conv",
                             .analog = true,
                             .inputs = 9,
                             .outputs = 4,
                             .output_shape = {4}});
  const std::string path = directory_ / "long.h5";
  Writer writer(path, header);
  for (const std::int64_t i : {0, 70, 149}) {
    Point point;
    point.score = sample::score(0.9);
    point.layers.resize(30);
    for (LayerPoint& layer : point.layers) layer.cumulative.sqnr_db = layer.isolated.sqnr_db = 20.0;
    writer.write_point({{i}, 0, 0}, point);
  }
  writer.commit();
  const std::string html = page(path);
  EXPECT_EQ(markup_problem(html), "");
  EXPECT_THAT(html, HasSubstr("/29"));
  EXPECT_THAT(html, HasSubstr("…"));
}

TEST(SearchReport, ShowsTheFrontAndTheSensitivityOfEveryKey) {
  SearchRecord record;
  record.budget = 0.01;
  record.confidence = 0.95;
  record.cost_unit = "bits";
  record.chips = 1;
  record.samples = 4;
  record.reference_accuracy = 1.0;
  record.layers = {"<a & b>", "a/very/long/name/of/a/layer/that/does/not/fit"};
  record.keys = {"x.n_bits", "y.out_res"};
  record.knobs = {{0, 0, 1.0, {32, 4, 2}, {60, 30, 10}}, {1, 1, 1.0, {8, 4}, {40, 20}}};
  record.points = {{{0, 0}, 40, 0, 0, 0, 0, true, true, {1, 1, 1, 0}},
                   {{1, 1}, 8, 0.0, -0.1, 0.2, 0.1, true, true, {1, 1, 1, 0}},
                   {{2, 1}, 6, 0.75, 0.5, 0.9, 0.8, false, true, {0, 0, 0, 0}}};
  record.found = 1;
  record.complete = true;
  const Report report = search_report(record, "folder/found.h5");
  EXPECT_EQ(report.title, "found.h5");
  EXPECT_THAT(figure_names(report), ::testing::ElementsAre("pareto", "search-sensitivity-0", "search-sensitivity-1"));
  EXPECT_EQ(table(report, "search-points").rows.size(), 3U);
  EXPECT_EQ(table(report, "bits").rows[0][2].text, "off");
  EXPECT_EQ(table(report, "bits").rows[0][3].text, "4");
  const std::string html = html_page(std::vector<Report>{report});
  EXPECT_EQ(markup_problem(html), "");
  EXPECT_THAT(loads(html), IsEmpty());
  EXPECT_THAT(html, HasSubstr("1 configurations lie below"));
}

TEST(DiagnosisReport, ShowsWhatEveryMechanismCosts) {
  const DiagnosisRun ideal{{0.9, 0.8}, {90, 80}, {95, 85}, {0, 0}, {0, 0}, {8, 8}};
  const DiagnosisRun noisy{{0.7, 0.7}, {9, 8}, {10, missing}, {0.1, 0}, {0, 0.2}, {7, 6}};
  DiagnosisRecord record;
  record.chips = 2;
  record.samples = 10;
  record.layers = {"<a & b>", "fc"};
  record.mechanisms = {{"none", "", true, ideal, noisy}, {"noise", "forward.out_noise", false, noisy, noisy}};
  record.ranking = {{.layer = 1, .output_sqnr_db = 12.0, .accuracy = {0.6, 0.7}},
                    {.layer = 0, .output_sqnr_db = 30.0, .accuracy = {0.9, 0.8}}};
  record.warnings = {"layer '<a & b>' is loud"};
  const Report report = diagnosis_report(record, "d.h5");
  EXPECT_THAT(figure_names(report), ::testing::ElementsAre("mechanisms", "mechanism-layers", "layer-ranking"));
  EXPECT_EQ(table(report, "layer-ranking").rows[0][0].text, "fc");
  EXPECT_EQ(table(report, "layer-ranking").rows[0][3].text, "+20.00");
  EXPECT_EQ(table(report, "layer-ranking").rows[1][3].text, "+0.00");
  EXPECT_EQ(table(report, "mechanisms").rows[0][3].text, "+15.00");
  EXPECT_EQ(table(report, "mechanisms").rows[0][6].text, "") << "it cannot be left out";
  const std::string html = html_page(std::vector<Report>{report});
  EXPECT_EQ(markup_problem(html), "");
  EXPECT_THAT(loads(html), IsEmpty());
  EXPECT_THAT(html, HasSubstr("is loud"));
}

}  // namespace
}  // namespace tessera::results
