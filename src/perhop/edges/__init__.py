"""Where callers arrive, one module or package a transport; each yields caller legs."""
