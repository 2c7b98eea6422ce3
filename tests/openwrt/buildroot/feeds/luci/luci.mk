# Stands in for LuCI's: it says what the package's Makefile has told it.

.PHONY: told
told:
	@echo 'Version: $(PKG_VERSION)-$(PKG_RELEASE)'
	@echo 'License: $(PKG_LICENSE)'
	@echo 'Depends: $(LUCI_DEPENDS)'
	@echo 'Description: $(LUCI_TITLE)'
	@echo 'Architecture: $(LUCI_PKGARCH)'
