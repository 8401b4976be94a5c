// Does a file appear under its name only when complete, and is an unwritable place found before the work?
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "h5/temporary_directory.hpp"
#include "tessera/core/atomic_file.hpp"
#include "tessera/h5/file.hpp"

namespace tessera::h5 {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class H5AtomicFile : public ::testing::Test {
 protected:
  static void write(const AtomicFile& target, float value) {
    File file = File::create(target);
    file.write_scalar("x", value);
    file.close();
  }
  static float value(const std::string& path) { return File::open(path).dataset("x").read_scalar<float>(); }

  testing::TemporaryDirectory directory_;
  std::string path_ = directory_ / "file.h5";
};

TEST_F(H5AtomicFile, AppearsWhenCommitted) {
  AtomicFile target(path_);
  EXPECT_TRUE(fs::exists(target.partial_path())) << "created at once";
  write(target, 1);
  EXPECT_FALSE(fs::exists(path_));
  target.commit();
  EXPECT_EQ(value(path_), 1);
  EXPECT_FALSE(fs::exists(target.partial_path()));
  EXPECT_THROW(target.commit(), RunError);
}

TEST_F(H5AtomicFile, UncommittedLeavesTheOldFile) {
  {
    AtomicFile target(path_);
    write(target, 1);
    target.commit();
  }
  {
    AtomicFile target(path_);
    write(target, 2);
  }
  EXPECT_EQ(value(path_), 1);
  EXPECT_FALSE(fs::exists(partial_path(path_)));
  AtomicFile target(path_);
  write(target, 3);
  AtomicFile moved(std::move(target));
  moved.commit();
  EXPECT_EQ(value(path_), 3);
}

TEST_F(H5AtomicFile, KeptFilesAreContinued) {
  {
    AtomicFile target(path_);
    write(target, 1);
    target.keep();
  }
  EXPECT_EQ(value(partial_path(path_)), 1);
  AtomicFile target(path_, AtomicFile::Start::resume);
  File file = File::resume(target);
  file.write_scalar("y", 2.0F);
  file.close();
  target.commit();
  EXPECT_EQ(value(path_), 1);
  EXPECT_TRUE(File::open(path_).contains("y"));
}

TEST_F(H5AtomicFile, ResumingNothingIsAnError) {
  const AtomicFile target(path_, AtomicFile::Start::resume);
  EXPECT_THROW(File::resume(target), InputError);
}

TEST_F(H5AtomicFile, SecondWriterIsRefused) {
  const AtomicFile first(path_);
  EXPECT_THAT([&] { AtomicFile second(path_); }, ThrowsMessage<RunError>(HasSubstr("another process is writing it")));
  EXPECT_TRUE(fs::exists(first.partial_path())) << "the refused one removes nothing";
}

TEST_F(H5AtomicFile, UnwritablePlacesAreNamedAtOnce) {
  const auto open = [](const std::string& path) { return [path] { AtomicFile target(path); }; };
  EXPECT_THAT(open(directory_ / "none/file.h5"), ThrowsMessage<RunError>(HasSubstr("No such file or directory")));
  EXPECT_THAT(open(directory_ / ""), ThrowsMessage<RunError>(HasSubstr("no file name")));
  EXPECT_THAT(open(""), ThrowsMessage<RunError>(HasSubstr("no file name")));
  fs::create_directory(directory_ / "folder");
  EXPECT_THAT(open(directory_ / "folder"), ThrowsMessage<RunError>(HasSubstr("a directory")));
  EXPECT_THAT(open("/dev/null"), ThrowsMessage<RunError>(HasSubstr("not a regular file")));
  testing::write_bytes(directory_ / "plain", "x");
  EXPECT_THROW(open(directory_ / "plain/file.h5")(), RunError);
  EXPECT_THROW(open("/proc/file.h5")(), RunError);
  EXPECT_FALSE(fs::exists(directory_ / "folder.partial"));
}

TEST_F(H5AtomicFile, SymbolicLinksAreFollowed) {
  fs::create_directory(directory_ / "real");
  fs::create_symlink(directory_ / "real/target.h5", path_);
  AtomicFile target(path_);
  write(target, 4);
  target.commit();
  EXPECT_TRUE(fs::is_symlink(path_));
  EXPECT_EQ(value(directory_ / "real/target.h5"), 4);
}

/// A process killed after a flush: everything until then is readable, whatever was being written.
TEST_F(H5AtomicFile, FlushedPointsSurviveAKill) {
  const pid_t child = fork();
  if (child == 0) {
    AtomicFile target(path_);
    File file = File::create(target);
    Dataset points = file.create_dataset("points", ElementType::float64, {100, 1000}, {.chunk = {1, 1000}, .fill = -1});
    for (std::int64_t i = 0; i < 50; ++i) {
      points.write_block({i, 0}, {1, 1000}, std::span<const double>(std::vector<double>(1000, double(i))));
      if (i == 39) file.flush();
      file.create_group("later_" + std::to_string(i));
    }
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_FALSE(fs::exists(path_));
  AtomicFile target(path_, AtomicFile::Start::resume);
  const File file = File::resume(target);
  const auto points = file.dataset("points").read<double>();
  for (std::size_t i = 0; i < 40; ++i) EXPECT_EQ(points[i * 1000 + 999], double(i));
}

/// The disk is full: an error that says so, and nothing under the final name.
TEST_F(H5AtomicFile, FullDiskIsAnError) {
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100000, 100000};
    setrlimit(RLIMIT_FSIZE, &limit);
    int code = 1;
    try {
      AtomicFile target(path_);
      File file = File::create(target);
      file.write("x", std::vector<double>(100000, 1.0));
      file.close();
      target.commit();
    } catch (const RunError& error) {
      code = std::string(error.what()).find("File too large") != std::string::npos ? 0 : 2;
    } catch (...) {
      code = 3;
    }
    _exit(code);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_FALSE(fs::exists(path_));
  EXPECT_FALSE(fs::exists(partial_path(path_)));
}

}  // namespace
}  // namespace tessera::h5
