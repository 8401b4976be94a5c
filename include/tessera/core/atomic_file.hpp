#pragma once
#include <string>
#include <string_view>

namespace tessera {

/// A file that appears under its name only when it is complete. It is written as "<name>.partial" in the same
/// directory, and commit() forces it to the disk and renames it. Not committed: removed, and an older file of that name
/// stays.
///
/// While the object lives the partial file is locked: a second process writing the same output is refused. The partial
/// file of a process that was killed is not locked; it is replaced, or continued with Start::resume.
class AtomicFile {
 public:
  enum class Start { fresh, resume };

  /// Creates the (empty) partial file at once, so that an unwritable place is found before the work starts. RunError if
  /// the directory is missing or not writable, if the name is a directory or a device, or another process is writing
  /// it.
  explicit AtomicFile(const std::string& path, Start start = Start::fresh);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  /// The name asked for. A symbolic link is followed: its target is replaced, not the link.
  const std::string& path() const { return path_; }
  /// Where to write until then.
  const std::string& partial_path() const { return partial_; }
  /// Adds `bytes` at the end of what write() has written. RunError with the system's reason (a full disk) if that
  /// fails.
  void write(std::string_view bytes);
  /// Flush to the disk and rename. Whoever wrote the file has closed it. RunError if that fails.
  void commit();
  /// Leave the partial file behind if it is not committed, for Start::resume.
  void keep() { keep_ = true; }

 private:
  void discard() noexcept;

  std::string path_;
  std::string partial_;
  int descriptor_ = -1;
  bool keep_ = false;
};

/// The name under which AtomicFile writes `path`.
std::string partial_path(const std::string& path);

/// A whole file at once.
void write_file(const std::string& path, std::string_view contents);

}  // namespace tessera
