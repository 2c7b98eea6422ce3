PKG_BUILD_DIR:=$(OUTPUT)/build
PKG_INSTALL_DIR:=$(PKG_BUILD_DIR)/ipkg-install
VERSION:=$(PKG_VERSION)-$(PKG_RELEASE)

# The package $(PACKAGE): its files below $(OUTPUT)/root, what is said of it beside that.
define BuildPackage
ifeq ($(PACKAGE),$(1))
DEPENDS:=
EXTRA_DEPENDS:=
$(Package/$(1))
export OF_VERSION:=$(VERSION)
export OF_LICENSE:=$(PKG_LICENSE)
export OF_CONFFILES=$$(call Package/$(1)/conffiles)
export OF_POSTINST=$$(call Package/$(1)/postinst)
export OF_PRERM=$$(call Package/$(1)/prerm)

package: export OF_DEPENDS=$$(DEPENDS)
package: export OF_EXTRA_DEPENDS=$$(EXTRA_DEPENDS)
package: export OF_PROVIDES=$$(PROVIDES)
package: export OF_CONFLICTS=$$(CONFLICTS)
package: export OF_ARCHITECTURE=$$(PKGARCH)
package: export OF_SECTION=$$(SECTION)
package: BUILD_VARIANT=$$(VARIANT)
package:
	$$(call Build/Prepare)
	$$(call Build/Compile)
	mkdir -p $(OUTPUT)/root
	$$(call Package/$(1)/install,$(OUTPUT)/root)
	for name in VERSION LICENSE CONFFILES POSTINST PRERM DEPENDS EXTRA_DEPENDS PROVIDES CONFLICTS ARCHITECTURE SECTION; do \
		eval "printf '%s\\n' \"\$$$$OF_$$$$name\"" >$(OUTPUT)/$$$$name; done
endif
endef
