package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/audit"
)

func auditCommand() *cobra.Command {
	return group("audit", "Verify and read the audit log", auditVerifyCommand(), auditTailCommand(), auditGrepCommand())
}

func auditVerifyCommand() *cobra.Command {
	var t target
	var requireSeal bool
	var keyFile, output string
	cmd := &cobra.Command{
		Use:   "verify [FILE…]",
		Short: "Recompute the chain and the signatures of an audit log",
		Long: `Recompute the hash chain and check every signed checkpoint. Without files it verifies the log of the
directory and that of its command line. Several files are one log, oldest first. Every edit before the last
checkpoint is found; what comes after it is reported as unsealed.`,
		RunE: func(cmd *cobra.Command, files []string) error {
			c, err := loadConfig(&t)
			if err != nil && (len(files) == 0 || keyFile == "") {
				return err
			}
			key, err := app.AuditPublicKey(c, os.Getenv, keyFile)
			if err != nil {
				return err
			}
			logs := [][]string{files}
			if len(files) == 0 {
				if logs, err = auditLogs(c); err != nil {
					return err
				}
			}
			for _, log := range logs {
				if err := verifyLog(cmd, log, audit.VerifyOptions{PublicKey: key}, requireSeal, output); err != nil {
					return err
				}
			}
			return nil
		},
	}
	t.operatorFlags(cmd)
	cmd.Flags().BoolVar(&requireSeal, "require-seal", false, "fail where the log does not end with a seal")
	cmd.Flags().StringVar(&keyFile, "key", "", "public or private audit key, PEM; default: that of the configuration")
	outputFlag(cmd, &output)
	return cmd
}

// auditLogs finds the files of the server's log and of the command line's.
func auditLogs(c *config.Config) ([][]string, error) {
	main := c.Abs(auditFile(c))
	if auditFile(c) == "" {
		return nil, errNoAudit
	}
	var logs [][]string
	for _, path := range []string{main, filepath.Join(filepath.Dir(main), filepath.Base(devdir.CLIAudit))} {
		files, err := audit.Files(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		case len(files) > 0:
			logs = append(logs, files)
		}
	}
	if len(logs) == 0 {
		return nil, fmt.Errorf("there is no audit log at %s", main)
	}
	return logs, nil
}

func verifyLog(cmd *cobra.Command, files []string, o audit.VerifyOptions, requireSeal bool, output string) error {
	report, err := audit.VerifyFiles(files, o)
	if err != nil {
		return err
	}
	if output == "json" {
		err = printJSON(cmd.OutOrStdout(), verified(files, report))
	} else {
		err = printReport(cmd, files, report)
	}
	if err == nil && requireSeal && !report.Sealed {
		err = fmt.Errorf("%s: %s", files[len(files)-1], unsealed(report))
	}
	return err
}

func unsealed(r audit.Report) string {
	return fmt.Sprintf("unsealed: %d records since %s", r.Tail, r.SignedAt.UTC().Format(time.RFC3339))
}

// verifyResult is the JSON form of a verification that found nothing wrong.
type verifyResult struct {
	Files       []string  `json:"files"`
	Records     uint64    `json:"records"`
	Sealed      bool      `json:"sealed"`
	Unsealed    uint64    `json:"unsealed_records"`
	SignedAt    time.Time `json:"signed_at"`
	Crashes     int       `json:"unsealed_instances"`
	Failures    int       `json:"sink_failures"`
	Abandoned   uint64    `json:"abandoned_lines"`
	TornBytes   int64     `json:"torn_bytes"`
	OpenIntents []string  `json:"open_intents"`
}

func verified(files []string, r audit.Report) verifyResult {
	v := verifyResult{
		Files: files, Records: r.Records, Sealed: r.Sealed, Unsealed: r.Tail, SignedAt: r.SignedAt.UTC(), Crashes: r.Unsealed,
		Failures: r.Failures, Abandoned: r.Abandoned, TornBytes: r.Torn, OpenIntents: []string{},
	}
	for _, o := range r.OpenIntents {
		v.OpenIntents = append(v.OpenIntents, o.ID)
	}
	return v
}

func printReport(cmd *cobra.Command, files []string, r audit.Report) error {
	w := cmd.OutOrStdout()
	state := "sealed"
	if !r.Sealed {
		state = unsealed(r)
	}
	_, err := fmt.Fprintf(w, "ok: %d records in %s; %s\n", r.Records, strings.Join(files, ", "), state)
	for _, note := range []struct {
		n    uint64
		text string
	}{
		{uint64(r.Unsealed), "instances ended without a seal (a crash, or their end was cut off)"},
		{uint64(r.Failures), "failures of the sink, each followed by a new file"},
		{r.Abandoned, "abandoned lines of failed writes, which nobody was answered on"},
		{uint64(max(r.Torn, 0)), "bytes of an incomplete last line"},
		{r.MoreOpenIntents, "further changes that were not followed"},
	} {
		if note.n > 0 && err == nil {
			_, err = fmt.Fprintf(w, "note: %d %s\n", note.n, note.text)
		}
	}
	for _, o := range r.OpenIntents {
		if err == nil {
			_, err = fmt.Fprintf(w, "open: change %s of %s has no outcome (%s, line %d)\n", o.ID, o.Time.UTC().Format(time.RFC3339), o.File, o.Line)
		}
	}
	return err
}
