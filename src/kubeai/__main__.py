"""`python -m kubeai` is `kubeai`."""

from kubeai.cli.main import main

if __name__ == "__main__":
    main()
