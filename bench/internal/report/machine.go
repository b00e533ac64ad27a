package report

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// Machine is where and with what the numbers were made: without it they mean nothing.
type Machine struct {
	Machine  string
	CPU      string
	Versions string
	Date     time.Time
}

// ThisMachine describes the running machine and program. modules are those whose versions matter.
func ThisMachine(modules ...string) Machine {
	m := Machine{CPU: cpuModel(), Date: time.Now(), Versions: runtime.Version()}
	m.Machine = fmt.Sprintf("%s/%s, %d CPUs", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	if kib := procField("/proc/meminfo", "MemTotal"); kib != "" {
		if n, err := strconv.ParseFloat(strings.TrimSuffix(kib, " kB"), 64); err == nil {
			m.Machine += fmt.Sprintf(", %.0f GiB", n/(1<<20))
		}
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		if one, _, ok := strings.Cut(string(load), " "); ok {
			m.Machine += ", load " + one + " before the start"
		}
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			for _, want := range modules {
				if dep.Path == want {
					m.Versions += ", " + dep.Path[strings.LastIndexByte(dep.Path, '/')+1:] + " " + dep.Version
				}
			}
		}
	}
	return m
}

func cpuModel() string {
	if name := procField("/proc/cpuinfo", "model name"); name != "" {
		return name
	}
	return "unknown (" + runtime.GOARCH + ")"
}

// procField reads the first "name : value" line of a file of /proc, "" where there is none.
func procField(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range bytes.Lines(text) {
		if key, value, ok := strings.Cut(string(line), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
