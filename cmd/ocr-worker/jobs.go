package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/gvpocr/worker/internal/batch"
	"github.com/gvpocr/worker/ocrworker"
)

// withJobs gives f a client of the jobs that the environment names.
func withJobs(f func(c *batch.Client, cfg ocrworker.Config) error) error {
	cfg, err := configWithoutEngines()
	if err != nil {
		return err
	}
	defer cfg.Dialer.Close()
	c, err := batch.Open(batch.Config{Dialer: cfg.Dialer, MongoURI: cfg.MongoURI, NSQD: cfg.NSQD, NSQ: cfg.NSQ})
	if err != nil {
		return err
	}
	return errors.Join(f(c, cfg), c.Close())
}

// taskOptions are the flags that say how files are to be recognized.
func taskOptions(cmd *cobra.Command, provider string) *batch.Options {
	o := &batch.Options{}
	cmd.Flags().StringVar(&o.Provider, "provider", provider, "engine of the tasks")
	cmd.Flags().StringSliceVar(&o.Languages, "languages", nil, "`codes` of the languages in the files: en,hi (default: the engine's)")
	cmd.Flags().BoolVar(&o.Handwriting, "handwriting", false, "take each page for one block of handwriting")
	return o
}
