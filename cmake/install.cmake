# make install: headers, both libraries, the program, pkg-config and CMake packages.
include(CMakePackageConfigHelpers)
set(shale_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/shale)

install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/shale DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h")
install(TARGETS shale_shared shale_static EXPORT shaleTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT shaleTargets NAMESPACE shale:: DESTINATION ${shale_cmake_dir})
configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/shaleConfig.cmake.in ${CMAKE_BINARY_DIR}/shaleConfig.cmake
  INSTALL_DESTINATION ${shale_cmake_dir})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/shaleConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/shaleConfig.cmake ${CMAKE_BINARY_DIR}/shaleConfigVersion.cmake
  DESTINATION ${shale_cmake_dir})

# The prefix is known only when installing (cmake --install --prefix), so the .pc file is written then.
install(CODE "
  set(PROJECT_VERSION \"${PROJECT_VERSION}\")
  set(CMAKE_INSTALL_LIBDIR \"${CMAKE_INSTALL_LIBDIR}\")
  set(CMAKE_INSTALL_INCLUDEDIR \"${CMAKE_INSTALL_INCLUDEDIR}\")
  configure_file(\"${CMAKE_SOURCE_DIR}/cmake/shale.pc.in\"
    \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/pkgconfig/shale.pc\" @ONLY)
")
if(TARGET shale)
  install(FILES ${CMAKE_SOURCE_DIR}/data/prices.toml DESTINATION ${CMAKE_INSTALL_DATADIR}/shale)
  install(TARGETS shale RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  if(NOT CMAKE_CROSSCOMPILING)
    install(FILES ${CMAKE_BINARY_DIR}/shale.bash RENAME shale
      DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
    install(FILES ${CMAKE_BINARY_DIR}/shale.zsh RENAME _shale DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
    install(FILES ${CMAKE_BINARY_DIR}/shale.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
  endif()
  foreach(section 1 5 7)
    file(GLOB pages CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/docs/man/*.${section})
    install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
  endforeach()
endif()
install(FILES ${CMAKE_SOURCE_DIR}/docs/man/libshale.3 DESTINATION ${CMAKE_INSTALL_MANDIR}/man3)
