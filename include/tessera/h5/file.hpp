#pragma once
#include <memory>
#include <string>

#include "tessera/h5/group.hpp"
#include "tessera/h5/image.hpp"

namespace tessera {
class AtomicFile;
}

namespace tessera::h5 {

namespace detail {
struct WriteFailure;
}

/// What a file is written as.
enum class Format {
  survives_kill,  ///< HDF5 1.8: checksummed metadata but for the index of chunks; opens after its writer was killed
  checked         ///< HDF5 1.10: all metadata have checksums; a file whose writer was killed stays closed
};

/// An open file; also its root group. Closing (or destroying) it closes every object opened through it.
///
/// Files are written without time stamps, in the format of HDF5 1.8 (checksummed metadata), and groups keep the order
/// of creation: the same calls give the same bytes.
class File : public Group {
 public:
  /// InputError if the file is missing, unreadable, not HDF5, truncated, or being written by another process.
  /// libhdf5 1.10 does not survive damaged heaps of variable-length text, so those of files up to 64 MiB are looked at
  /// first. What is left to chance: damaged attributes and compressed text in files of the format before 1.8, which
  /// has no checksums. Files of this library have them.
  static File open(const std::string& path);
  /// Replaces an existing file. For a file that others may find, create it through an AtomicFile.
  static File create(const std::string& path);
  /// Creates the file under its temporary name. Close it before AtomicFile::commit().
  static File create(const AtomicFile& target, Format format = Format::survives_kill);
  /// Opens a file in memory, which is copied. InputError as for open(); made for images of this library: heaps of
  /// damaged text are not looked at first.
  static File open_image(const Image& image, const std::string& name);
  /// Opens the temporary file of an AtomicFile that continues an earlier one, for reading and writing.
  static File resume(const AtomicFile& target);

  File(File&&) noexcept;
  File& operator=(File&&) noexcept;
  ~File();

  /// Everything written so far reaches the operating system: a killed process loses nothing before this call. RunError
  /// with the system's reason if this, or any write since the file was opened, failed (a full disk).
  void flush();
  /// Flushes and closes; RunError if that failed (a full disk). The destructor closes too, but cannot report.
  void close();
  bool is_open() const { return file_.valid(); }

 private:
  File(Handle file, const std::string& path, std::unique_ptr<detail::WriteFailure> failure = nullptr);
  void require_written() const;
  std::unique_ptr<detail::WriteFailure> failure_;  // outlives file_
  Handle file_;
};

/// A new file that is complete when commit() was called: under a name, where it appears only then (AtomicFile), or in
/// memory. Not committed: nothing is left of it.
class NewFile : public File {
 public:
  /// RunError at once if the place is not writable.
  explicit NewFile(const std::string& path, Format format = Format::survives_kill);
  /// `name` stands for the file in messages.
  static NewFile in_memory(const std::string& name);
  NewFile(NewFile&&) noexcept;
  ~NewFile();

  /// The name asked for.
  const std::string& target() const { return name_; }
  /// Closes the file; gives it its name, or returns what is in memory.
  Image commit();

 private:
  class Memory;
  NewFile(std::unique_ptr<Memory> memory, const std::string& name);
  NewFile(std::unique_ptr<AtomicFile> target, Format format);
  std::string name_;
  std::unique_ptr<AtomicFile> target_;
  std::unique_ptr<Memory> memory_;  ///< one of the two
};

/// Does the file begin with HDF5's signature (at 0, 512, 1024, ...)? InputError if it cannot be read.
bool is_hdf5(const std::string& path);

}  // namespace tessera::h5
