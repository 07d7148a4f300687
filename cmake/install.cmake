# make install: headers, both libraries, the program, pkg-config and CMake packages.
include(CMakePackageConfigHelpers)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/shale DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(TARGETS shale_shared EXPORT shaleTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS shale_static EXPORT shaleStaticTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET shale)
  install(TARGETS shale RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
