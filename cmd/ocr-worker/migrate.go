package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gvpocr/worker/internal/migrate"
)

// migrateOptions are the flags of migrate.
type migrateOptions struct {
	image, output string
	diff          bool
}

// migrateCommand takes the socat services out of a compose file.
func migrateCommand() *cobra.Command {
	var o migrateOptions
	cmd := &cobra.Command{
		Use:   "migrate FILE",
		Short: "Take the socat proxies out of a worker machine's compose file",
		Long: `migrate finds the services of a compose file that run socat, in whatever form, takes them out, and gives the workers that
use them the lines that replace them: MAIN_SERVER_IP where all lead to the usual ports of one host, else a DIAL_ line for each
name. What depends on the proxies is mended. Comments, order and variables stay as they are.

The file is changed in place, and the old one kept beside it as FILE.bak, unless --output names another. Where FILE is a symbolic
link, what it leads to is changed, and the link stays. With --diff nothing is written, and the change is shown. No password is shown.

What variables hold is looked up in the environment and in the file .env beside FILE, as docker-compose does, but only to
understand the file: ${NAME} stays ${NAME}, whether it is set or not. What is built (build: in place of image:) stays, with a note.

With --image, workers that start something else than this worker (entrypoint, command, healthcheck) are refused, and it is said
what to remove; without, notes say it.

A file that is not understood is refused, with the reason, and stays as it is. What is written was loaded as compose
loads it, and is the old project without its proxies, with the new lines, and nothing else.`,
		Example: `  ocr-worker migrate --diff docker-compose.worker.yml
  ocr-worker migrate --image gvpocr-worker:go docker-compose.worker.yml`,
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return []cobra.Completion{"yml", "yaml"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			err := migrateFile(cmd.Context(), args[0], o, cmd.OutOrStdout(), cmd.ErrOrStderr())
			if err != nil {
				return errors.New(migrate.Mask(err.Error())) // it may quote a line of the file
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&o.diff, "diff", false, "show what would change, and write nothing")
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "write to this `FILE` (default: in place, keeping FILE.bak)")
	cmd.Flags().StringVar(&o.image, "image", "", "`image` that workers get (default: theirs)")
	cmd.MarkFlagsMutuallyExclusive("diff", "output")
	return cmd
}

// maxCompose bounds the file that is read.
const maxCompose = 1 << 20

func migrateFile(ctx context.Context, name string, o migrateOptions, out, notes io.Writer) error {
	text, mode, err := readCompose(name)
	if err != nil {
		return err
	}
	result, err := migrate.File(ctx, name, text, migrate.Options{Image: o.image, Takes: workerTakes, Environ: os.Environ()})
	if err != nil {
		return fmt.Errorf("%s is left as it is: %w", name, err)
	}
	written, next := "nothing is written", ""
	switch {
	case o.diff:
		_, err = io.WriteString(out, migrate.Diff(name, text, result.Text)+"\n")
	case o.output != "":
		err = writeNew(o.output, result.Text, mode)
		written, next = fmt.Sprintf("%s is written; %s is as it was", o.output, name), o.output
	default:
		var target, backup string
		target, backup, err = replaceFile(name, text, result.Text, mode)
		written, next = fmt.Sprintf("%s is changed; the old file is %s", target, backup), name
	}
	if err != nil {
		return err
	}
	said := migrate.Mask(strings.Join(result.Changes, "\n")) + "\n" + written + "\n"
	if next != "" {
		said += fmt.Sprintf("docker-compose -f %s up -d --remove-orphans starts it without its proxies\n", next)
	}
	if _, err = io.WriteString(out, said); err != nil {
		err = fmt.Errorf("%s, but what was done can't be shown: %w", written, err)
	}
	for _, note := range result.Notes {
		fmt.Fprintln(notes, "note:", migrate.Mask(note))
	}
	return err
}

// workerTakes says what is wrong with words as what the worker is started with.
func workerTakes(words []string) error {
	cmd, rest, err := command().Find(words)
	if err != nil {
		return err
	}
	if cmd.HasParent() && cmd.Name() != "run" {
		return fmt.Errorf("%s does not run the worker", cmd.Name())
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}

func readCompose(name string) ([]byte, fs.FileMode, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxCompose+1))
	if err == nil && len(text) > maxCompose {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxCompose)
	}
	return text, fi.Mode().Perm(), err
}

// writeNew writes a file that is not there yet, or none.
func writeNew(name string, text []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already, and nothing is written: move it away first", name)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(mode), f.Close()); err != nil { // the umask may have taken from the mode
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// replaceFile keeps the old text beside the file, as its name and .bak, and puts the new one in its place, so that one of
// the two is always whole. Where name is a symbolic link, the file is what it leads to, and the link stays.
func replaceFile(name string, before, after []byte, mode fs.FileMode) (target, backup string, err error) {
	if target, err = filepath.EvalSymlinks(name); err != nil {
		return "", "", err
	}
	backup, next := target+".bak", target+".new"
	if err := writeNew(backup, before, mode); err != nil {
		return "", "", err
	}
	if err = writeNew(next, after, mode); err == nil {
		if err = os.Rename(next, target); err != nil {
			err = errors.Join(err, os.Remove(next))
		}
	}
	if err != nil {
		err = errors.Join(err, os.Remove(backup)) // so that the next try has its place
	}
	return target, backup, err
}
