# The libraries that Shale stands on, as one interface target.
find_package(PkgConfig REQUIRED)
add_library(shale_libraries INTERFACE)
find_package(ZLIB REQUIRED)
pkg_check_modules(zstd REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(lz4 REQUIRED IMPORTED_TARGET liblz4)
pkg_check_modules(jansson REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(yaml REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(crypto REQUIRED IMPORTED_TARGET libcrypto>=3.0)
pkg_check_modules(expat REQUIRED IMPORTED_TARGET expat)
pkg_check_modules(curl REQUIRED libcurl>=7.85) # its headers: the library is loaded when a bucket is first used
find_path(SNAPPY_INCLUDE snappy-c.h REQUIRED)
find_library(SNAPPY_LIBRARY snappy REQUIRED)
find_package(Threads REQUIRED)
target_include_directories(shale_libraries SYSTEM INTERFACE ${SNAPPY_INCLUDE} ${curl_INCLUDE_DIRS})
target_link_libraries(shale_libraries INTERFACE ZLIB::ZLIB PkgConfig::zstd PkgConfig::lz4 PkgConfig::jansson
  PkgConfig::yaml PkgConfig::xxhash PkgConfig::crypto PkgConfig::expat
  ${SNAPPY_LIBRARY} Threads::Threads ${CMAKE_DL_LIBS})

# The line editor of `shale shell`: of the program only. Without it lines are read plainly.
pkg_check_modules(libedit IMPORTED_TARGET libedit)
if(SHALE_STATIC AND libedit_FOUND)
  target_link_libraries(PkgConfig::libedit INTERFACE ${libedit_STATIC_LIBRARIES} md)
endif()
if(NOT libedit_FOUND)
  message(STATUS "libedit was not found: shale shell reads lines without editing, history and Tab")
endif()

# SQLite with its session extension: the system's, or an amalgamation (sqlite3.c and sqlite3.h) in the folder SHALE_SQLITE.
set(SHALE_SQLITE "" CACHE PATH "Folder of a SQLite amalgamation; empty: the system's libsqlite3")
if(SHALE_SQLITE)
  add_library(shale_sqlite OBJECT ${SHALE_SQLITE}/sqlite3.c)
  target_include_directories(shale_sqlite SYSTEM PUBLIC ${SHALE_SQLITE})
  target_compile_definitions(shale_sqlite PRIVATE SQLITE_ENABLE_SESSION SQLITE_ENABLE_PREUPDATE_HOOK
    SQLITE_ENABLE_FTS5 SQLITE_ENABLE_RTREE SQLITE_ENABLE_DBSTAT_VTAB)
  target_compile_options(shale_sqlite PRIVATE -w)
  set_target_properties(shale_sqlite PROPERTIES C_EXTENSIONS ON)
  target_include_directories(shale_libraries SYSTEM INTERFACE ${SHALE_SQLITE})
  target_link_libraries(shale_libraries INTERFACE $<TARGET_OBJECTS:shale_sqlite> m)
else()
  pkg_check_modules(sqlite REQUIRED IMPORTED_TARGET sqlite3>=3.40)
  target_link_libraries(shale_libraries INTERFACE PkgConfig::sqlite)
endif()
target_compile_definitions(shale_libraries INTERFACE SQLITE_ENABLE_SESSION=1 SQLITE_ENABLE_PREUPDATE_HOOK=1)

if(SHALE_STATIC)
  # What archives need behind themselves; pkg-config knows it for libcurl.
  target_compile_definitions(shale_libraries INTERFACE SHALE_CURL_LINKED=1)
  target_link_directories(shale_libraries INTERFACE ${curl_STATIC_LIBRARY_DIRS} ${crypto_LIBRARY_DIRS})
  target_link_libraries(shale_libraries INTERFACE ${curl_STATIC_LIBRARIES} PkgConfig::crypto stdc++ m)
endif()
