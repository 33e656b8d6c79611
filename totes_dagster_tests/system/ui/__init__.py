"""The platform as a person sees it: `totes dev` in a browser. Run by `make test-ui`, and not by `make test`."""
