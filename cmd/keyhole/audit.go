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
	var requireSeal, oldestGone, collected bool
	var keyFile, after, output string
	cmd := &cobra.Command{
		Use:   "verify [FILE…]",
		Short: "Recompute the chain and the signatures of an audit log",
		Long: `Recompute the hash chain and check every signed checkpoint. Without files it verifies the log of the
directory and that of its command line, all files of each. Several files are one log, oldest first. Every edit
before the last checkpoint is found; what comes after it is reported as unsealed.

Where retention removed the oldest files the log begins later: the report says after which record, on the word of
the first birth record that is left, which is signed. What was before can then not be verified, nor can who removed
it. Fewer files than retention keeps do not verify. --after proves that these files follow an earlier verification,
whose last position it takes; --oldest-gone takes any beginning.

--collected takes lines that were gathered from standard output, Firehose or DynamoDB: of many instances, in any order,
some of them twice, cut short, and among other text. Instances of which nothing is left at all are not missed.`,
		RunE: func(cmd *cobra.Command, files []string) error {
			c, err := loadConfig(&t)
			if err != nil && (len(files) == 0 || keyFile == "") {
				return err
			}
			key, err := app.AuditPublicKey(c, os.Getenv, keyFile)
			if err != nil {
				return err
			}
			v := verification{
				options: audit.VerifyOptions{PublicKey: key, OldestGone: oldestGone}, requireSeal: requireSeal, output: output,
			}
			if after != "" {
				if v.options.After, err = audit.ParsePosition(after); err != nil {
					return usage("--after: %v", err)
				}
			}
			if collected {
				if len(files) == 0 {
					return usage("--collected wants the files that hold the lines")
				}
				report, err := audit.VerifyCollectedFiles(files, v.options)
				return v.report(cmd, files, report, err)
			}
			if len(files) > 0 {
				report, err := audit.VerifyFiles(files, v.options)
				return v.report(cmd, files, report, err)
			}
			logs, err := auditLogs(c)
			if err != nil {
				return err
			}
			for _, log := range logs {
				files, report, err := audit.VerifyLog(log.path, log.retention, v.options)
				if err := v.report(cmd, files, report, err); err != nil {
					return err
				}
				v.options.After = audit.Position{} // it is the first log's
			}
			return nil
		},
	}
	t.operatorFlags(cmd)
	cmd.Flags().BoolVar(&requireSeal, "require-seal", false, "fail where the log does not end with a seal")
	cmd.Flags().BoolVar(&oldestGone, "oldest-gone", false, "take a log whose older files are not there, wherever it begins")
	cmd.Flags().StringVar(&after, "after", "", "INSTANCE:SEQ:HASH that the first file must continue: the last position of an earlier verification")
	cmd.Flags().BoolVar(&collected, "collected", false, "the files hold lines of many instances, in any order")
	cmd.MarkFlagsMutuallyExclusive("after", "oldest-gone")
	cmd.MarkFlagsMutuallyExclusive("after", "collected")
	cmd.Flags().StringVar(&keyFile, "key", "", "public or private audit key, PEM; default: that of the configuration")
	outputFlag(cmd, &output)
	return cmd
}

// auditLog is one log of a directory.
type auditLog struct {
	path      string
	retention audit.Retention
}

// auditLogs finds the server's log and the command line's, which nothing is removed from.
func auditLogs(c *config.Config) ([]auditLog, error) {
	f := auditSink(c)
	if f == nil {
		return nil, errNoAudit
	}
	server := auditLog{c.Abs(f.Path), audit.Retention{Rotate: int64(f.Rotate), Keep: f.Keep}}
	cli := auditLog{path: filepath.Join(filepath.Dir(server.path), filepath.Base(devdir.CLIAudit))}
	var logs []auditLog
	for _, log := range []auditLog{server, cli} {
		switch _, err := audit.Files(log.path); {
		case err == nil:
			logs = append(logs, log)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	if len(logs) == 0 {
		return nil, fmt.Errorf("there is no audit log at %s", server.path)
	}
	return logs, nil
}

// verification is how logs are verified and reported.
type verification struct {
	options     audit.VerifyOptions
	requireSeal bool
	output      string
}

func (v *verification) report(cmd *cobra.Command, files []string, report audit.Report, err error) error {
	switch {
	case err != nil:
		return err
	case v.output == "json":
		err = printJSON(cmd.OutOrStdout(), verified(files, report))
	default:
		err = printReport(cmd, files, report, v.options.After.IsZero())
	}
	if err == nil && v.requireSeal && !report.Sealed {
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
	Rotations   int       `json:"rotations"`
	OpenCounts  []string  `json:"open_counts"`
	After       string    `json:"after"` // the position before the first record, "" at the beginning of the log
	Last        string    `json:"last"`  // the position of the last record, for --after; "" with --collected

	Instances int    `json:"instances,omitempty"` // these three with --collected alone
	Repeated  uint64 `json:"repeated_lines,omitempty"`
	Foreign   uint64 `json:"foreign_lines,omitempty"`
}

func verified(files []string, r audit.Report) verifyResult {
	v := verifyResult{
		Files: files, Records: r.Records, Sealed: r.Sealed, Unsealed: r.Tail, SignedAt: r.SignedAt.UTC(), Crashes: r.Unsealed,
		Failures: r.Failures, Abandoned: r.Abandoned, TornBytes: r.Torn, OpenIntents: []string{},
		Rotations: r.Rotations, OpenCounts: []string{}, Instances: r.Instances, Repeated: r.Repeated, Foreign: r.Foreign,
	}
	if !r.Last.IsZero() {
		v.Last = r.Last.String()
	}
	if !r.Begins.IsZero() {
		v.After = r.Begins.String()
	}
	for _, o := range r.OpenIntents {
		v.OpenIntents = append(v.OpenIntents, o.ID)
	}
	for _, o := range r.OpenCounts {
		v.OpenCounts = append(v.OpenCounts, o.ID)
	}
	return v
}

func printReport(cmd *cobra.Command, files []string, r audit.Report, unproven bool) error {
	w := cmd.OutOrStdout()
	state := "sealed"
	if !r.Sealed {
		state = unsealed(r)
	}
	_, err := fmt.Fprintf(w, "ok: %d records in %s; %s\n", r.Records, strings.Join(files, ", "), state)
	if !r.Begins.IsZero() && err == nil {
		claim := "follows the given position"
		if unproven {
			claim = "older files are gone, and only the first birth record says what they ended with"
		}
		_, err = fmt.Fprintf(w, "note: the log begins after record %d of instance %s, hash %s: %s\n", r.Begins.Seq, r.Begins.Instance, r.Begins.Hash, claim)
	}
	for _, note := range []struct {
		n    uint64
		text string
	}{
		{uint64(r.Instances), "instances, each with a chain of its own"},
		{r.Repeated, "lines that are there once more"},
		{r.Foreign, "lines that are no records"},
		{uint64(r.Unsealed), "instances ended without a seal (a crash, or their end was cut off)"},
		{uint64(r.Rotations), "files that were full, each followed by a new one"},
		{uint64(r.Failures), "failures of the sink, each followed by a new file or instance"},
		{r.Abandoned, "abandoned lines of failed writes, which nobody was answered on"},
		{uint64(max(r.Torn, 0)), "bytes of incomplete lines, of writes that were cut short"},
		{r.MoreOpenIntents, "further changes that were not followed"},
		{r.MoreOpenCounts, "further aggregates that were not followed"},
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
	for _, o := range r.OpenCounts {
		if err == nil {
			_, err = fmt.Fprintf(w, "open: aggregate %s of %s has no count: refusals after it were answered and not recorded (%s, line %d)\n",
				o.ID, o.Time.UTC().Format(time.RFC3339), o.File, o.Line)
		}
	}
	return err
}
